# SPDX-License-Identifier: Apache-2.0
"""Promotion, installation and the whole check: new versions beside old ones, and nothing half done."""

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.bootstrap.package_check import CheckOrder, check_in_child
from service.bootstrap.package_making import Approval, install, promote, read_unproven, sign_package
from service.domain.errors import PackageError
from service.domain.result import PackageStatus
from service.inference.archive import write_archive
from service.inference.package import default_packages_folder, find_packages, load_package
from service.inference.package_files import read_package
from service.inference.sealing import seal
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy

NOW = datetime(2026, 11, 29, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
SHIPPED = next(
    folder for folder in find_packages(default_packages_folder()) if folder.parent.name.startswith("diffuse")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest shipped package, in a folder of packages of its own."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "packages" / SHIPPED.parent.name / SHIPPED.name))


@pytest.fixture
def site(tmp_path: Path) -> SignaturePolicy:
    path = tmp_path / "site.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(KEY.public_key().public_bytes(encoding, form))
    return SignaturePolicy(keys=(path,))


def _approval(place: Path, tmp_path: Path, *, about: str = "") -> Approval:
    report = tmp_path / "report.json"
    report.write_text(f'{{"package": "{about or read_unproven(place).identity.sha256}", "auc": 0.9}}')
    return Approval(approver="Dr A. Example, medical physicist", report=report, key=KEY, now=NOW)


def _climb(folder: Path, tmp_path: Path, site: SignaturePolicy, *versions: str) -> Path:
    for version in versions:
        approval = _approval(folder, tmp_path)
        folder = promote(folder, version, target=folder.parent.parent, approval=approval, policy=site)
    return folder


def test_the_whole_ladder(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    top = _climb(folder, tmp_path, site, "0.5.0", "0.6.0", "1.0.0")
    files = read_package(top, policy=site)
    assert files.identity.status is PackageStatus.APPROVED
    assert [str(step.to_status) for step in files.manifest.promotions] == ["research", "site-validated", "approved"]
    last = files.manifest.promotions[-1]
    assert last.package_sha256 == read_package(top.parent / "0.6.0", policy=site).identity.sha256
    assert last.report_sha256 == hashlib.sha256((tmp_path / "report.json").read_bytes()).hexdigest()
    assert {path: path.read_bytes() for path in before} == before, "what was promoted stays as it was"
    load_package(top, policy=site)


def test_above_the_top_there_is_nothing(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    top = _climb(folder, tmp_path, site, "0.5.0", "0.6.0", "1.0.0")
    with pytest.raises(PackageError, match="status approved is the highest"):
        _climb(top, tmp_path, site, "2.0.0")


def test_a_report_about_another_package_promotes_nothing(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    approval = _approval(folder, tmp_path, about="0" * 64)
    with pytest.raises(PackageError, match="does not name the digest of the package"):
        promote(folder, "0.5.0", target=folder.parent.parent, approval=approval, policy=site)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_version_is_never_replaced(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    with pytest.raises(PackageError, match="a version never changes"):
        _climb(folder, tmp_path, site, folder.name)


def test_a_promotion_that_is_edited_in_is_no_promotion(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    """The approver's name is signed over: another one needs the key again."""
    top = _climb(folder, tmp_path, site, "0.5.0", "0.6.0")
    path = top / "manifest.yaml"
    path.write_text(path.read_text().replace("Dr A. Example", "Dr B. Forged"))
    with pytest.raises(PackageError, match="is not over this package"):
        read_package(top, policy=site)


def test_a_validated_package_needs_a_signature_even_where_none_is_required(
    folder: Path, tmp_path: Path, site: SignaturePolicy
) -> None:
    top = _climb(folder, tmp_path, site, "0.5.0", "0.6.0")
    with pytest.raises(PackageError, match="status site-validated needs a signature"):
        read_package(top, policy=UNSIGNED_ALLOWED)
    (top / "SIGNATURES.json").unlink()
    with pytest.raises(PackageError, match="the package is not signed"):
        read_package(top, policy=site)


def test_an_archive_is_installed_whole(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    files = sign_package(folder, key=KEY, now=NOW)
    path = tmp_path / "x.cadpkg"
    contents = {name.relative_to(folder).as_posix(): name.read_bytes() for name in folder.rglob("*") if name.is_file()}
    path.write_bytes(write_archive(contents))
    required = SignaturePolicy(required=True, keys=site.keys)
    installed = install(path, target=tmp_path / "node", policy=required)
    assert installed == tmp_path / "node" / folder.parent.name / folder.name
    assert read_package(installed, policy=required).identity == files.identity
    with pytest.raises(PackageError, match="a version never changes"):
        install(path, target=tmp_path / "node", policy=required)


def test_what_is_refused_leaves_nothing_behind(folder: Path, tmp_path: Path, site: SignaturePolicy) -> None:
    (folder / "LICENSE").write_text("Everything is allowed\n")
    with pytest.raises(PackageError, match="SHA-256"):
        install(folder, target=tmp_path / "node", policy=site)
    assert not (tmp_path / "node").exists()


def test_an_archive_is_not_signed_in_place(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.cadpkg").write_bytes(b"PK")
    with pytest.raises(PackageError, match="sign the package's folder, then export it"):
        sign_package(tmp_path / "x.cadpkg", key=KEY, now=NOW)


def test_sealing_keeps_what_a_person_wrote(folder: Path) -> None:
    path = folder / "manifest.yaml"
    text = "# a comment\n" + path.read_text() + "# the end\n"
    path.write_text(text)
    (folder / "LICENSE").write_text("another\n")
    assert seal(folder) == len(yaml.safe_load(text)["files"])
    sealed = path.read_text()
    assert sealed.startswith("# a comment\n")
    assert sealed.endswith("# the end\n")
    assert yaml.safe_load(sealed)["files"]["LICENSE"] == hashlib.sha256(b"another\n").hexdigest()
    others = [{key: value for key, value in yaml.safe_load(each).items() if key != "files"} for each in (text, sealed)]
    assert others[0] == others[1]
    read_package(folder)


def test_sealing_refuses_a_name_that_no_package_may_have(folder: Path) -> None:
    (folder / "golden" / "a b.npz").touch()
    with pytest.raises(PackageError, match="only letters, digits"):
        seal(folder)


# --- the whole check, in a process of its own -----------------------------------------------------------------------


def _order(place: Path, **changes: Any) -> CheckOrder:
    return CheckOrder(place=place, **{"memory_bytes": 4_000_000_000, **changes})


def test_a_check_that_takes_too_long_is_a_refusal(folder: Path) -> None:
    with pytest.raises(PackageError, match=r"the checks took more than 1\.5 s"):
        check_in_child(_order(folder, seconds=1.5))


def test_a_check_that_takes_too_much_memory_is_a_refusal(folder: Path) -> None:
    with pytest.raises(PackageError, match="memory"):
        check_in_child(_order(folder, memory_bytes=700_000_000))


def test_a_package_that_ends_its_process_is_a_refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bootstrap.package_check.CHILD", f"{__name__}:ends_itself")
    with pytest.raises(PackageError, match=r"ended their process \(SIGSEGV\)"):
        check_in_child(_order(folder))


def ends_itself(_initial: Any) -> Any:
    """Entry of a child that dies as a parser with a defect does."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)
