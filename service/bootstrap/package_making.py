# SPDX-License-Identifier: Apache-2.0
"""Making packages: expected records, the next rung of the status ladder, and putting a package where the node looks."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from service.bootstrap.golden_record import golden_record, to_json
from service.bootstrap.golden_studies import run_study
from service.domain.errors import PackageError
from service.domain.result import PackageStatus
from service.inference.evidence import Promotion, next_status
from service.inference.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, SIGNATURES_NAME
from service.inference.package import load_package
from service.inference.package_files import PackageFiles, read_package
from service.inference.plain_file import read_file
from service.inference.sealing import replace_text, seal
from service.inference.signature import UNSIGNED_ALLOWED, PrivateKey, SignaturePolicy, add_signature
from service.inference.strict_yaml import yaml_to_json

REPORT_MAX_BYTES: Final = 1 << 28
_PLACEHOLDER: Final = "{}\n"


def record_studies(folder: Path) -> tuple[str, ...]:
    """Run every golden study and write what it comes to as the expected record; return the files written.

    Raises
    ------
    PackageError
        The package does not load, or a study cannot be run.
    """
    data = read_file(folder / MANIFEST_NAME, max_bytes=MANIFEST_MAX_BYTES)
    manifest = json.loads(yaml_to_json(data, where=str(folder / MANIFEST_NAME)))
    for entry in manifest.get("golden_studies") or ():
        expected = folder / "golden" / str(entry["name"]) / "expected.json"
        if not expected.exists() and expected.parent.is_dir():
            expected.write_text(_PLACEHOLDER, encoding="utf-8")
    seal(folder)
    files, package = read_package(folder), load_package(folder, provider="cpu")
    records = {
        study.expected: golden_record(run_study(files, study, package)) for study in files.manifest.golden_studies
    }
    for name, record in records.items():
        replace_text(folder / name, to_json(record))
    seal(folder)
    return tuple(records)


def sign_package(folder: Path, *, key: PrivateKey, now: datetime, expires_at: datetime | None = None) -> PackageFiles:
    """Add a signature over the package's digest to its folder; return what was signed.

    Raises
    ------
    PackageError
        The package's files are not what its manifest says, or it is a .cadpkg file.
    """
    if folder.is_file():
        raise PackageError(f"{folder}: sign the package's folder, then export it again")
    files = read_unproven(folder)
    data = add_signature(files.signatures, files.identity, key=key, now=now, expires_at=expires_at)
    replace_text(folder / SIGNATURES_NAME, data.decode())
    return files


def read_unproven(place: Path) -> PackageFiles:
    """Read a package whose signature is not looked at, because it is about to be made or is not ours to judge."""
    return read_package(place, policy=UNSIGNED_ALLOWED, status_needs_signature=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who promotes a package, by which validation report, signed with which key."""

    approver: str
    report: Path
    key: PrivateKey
    now: datetime
    expires_at: datetime | None = None


def promote(place: Path, version: str, *, target: Path, approval: Approval, policy: SignaturePolicy) -> Path:
    """Write the package one rung higher, as another version, signed; return its folder `<target>/<name>/<version>`.

    The report must name the digest of the very package that is promoted, so that a report on another one proves
    nothing. The package that is promoted stays as it is.

    Raises
    ------
    PackageError
        The package does not load, is at the top, or its report is about something else; or the version exists.
    """
    load_package(place, provider="cpu", policy=policy)
    files = read_package(place, policy=policy)
    status = next_status(files.identity.status)
    if status is None:
        raise PackageError(f"{place}: status {files.identity.status} is the highest; there is nothing to promote to")
    step = Promotion(
        from_status=files.identity.status,
        to_status=status,
        package_version=files.identity.version,
        package_sha256=files.identity.sha256,
        report_sha256=_report_digest(approval.report, files.identity.sha256),
        approver=approval.approver,
        promoted_at=approval.now,
    )
    folder = target / files.identity.name / version

    def write(draft: Path) -> None:
        contents = {**files.contents, MANIFEST_NAME: _promoted(files, version, status, step)}
        write_files(draft, contents)
        sign_package(draft, key=approval.key, now=approval.now, expires_at=approval.expires_at)
        read_unproven(draft)

    place_folder(folder, write)
    return folder


def _report_digest(report: Path, package_sha256: str) -> str:
    data = read_file(report, max_bytes=REPORT_MAX_BYTES)
    if package_sha256.encode() not in data:
        raise PackageError(
            f"{report}: does not name the digest of the package, {package_sha256}; validate this very package, and "
            "promote it with that report"
        )
    return hashlib.sha256(data).hexdigest()


def _promoted(files: PackageFiles, version: str, status: PackageStatus, step: Promotion) -> bytes:
    manifest: dict[str, Any] = json.loads(yaml_to_json(files.manifest_bytes, where=str(files.folder)))
    listed = manifest.pop("files")
    manifest |= {"version": version, "status": status.value}
    manifest["promotions"] = [*manifest.get("promotions", ()), step.model_dump(mode="json")]
    text = yaml.safe_dump({**manifest, "files": listed}, sort_keys=False, allow_unicode=True, width=110)
    return text.encode()


def install(place: Path, *, target: Path, policy: SignaturePolicy) -> Path:
    """Put a package under `<target>/<name>/<version>`, all of it or nothing; return that folder.

    Raises
    ------
    PackageError
        The package does not load, or that version is there already.
    """
    load_package(place, provider="cpu", policy=policy)
    files = read_package(place, policy=policy)
    folder = target / files.identity.name / files.identity.version
    signatures = {SIGNATURES_NAME: files.signatures} if files.signatures else {}
    contents = {**files.contents, MANIFEST_NAME: files.manifest_bytes, **signatures}
    place_folder(folder, lambda draft: write_files(draft, contents))
    return folder


def place_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a package folder under its final name, whole, or not at all; an existing one is never touched.

    Raises
    ------
    PackageError
        The folder is there already.
    """
    if folder.exists():
        raise PackageError(f"{folder}: exists; a version never changes: choose another version")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        draft = Path(scratch) / folder.parent.name / folder.name
        draft.mkdir(parents=True)
        try:
            write(draft)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files by relative path; the names were checked when the package was read."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
