# SPDX-License-Identifier: Apache-2.0
"""The wheel is the same wherever it is built, holds its model packages, and the bill of materials names all of it."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from deploy import CHECKOUT
from deploy.bundle.__main__ import SIGNATURE, SUMS, seal
from deploy.sbom import describe_wheels, write_sbom
from deploy.wheel import build_wheel

INSTALL = CHECKOUT / "deploy" / "bundle" / "install.sh"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "service", "models/packages")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_is_built_twice_to_the_same_bytes(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, later, by somebody with other permissions, from files in another order."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = build_wheel(tmp_path / "first")
    copy = tmp_path / "copy"
    for name in reversed(SOURCES):
        source, target = CHECKOUT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, copy_function=shutil.copyfile) if source.is_dir() else shutil.copyfile(
            source, target
        )
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = build_wheel(tmp_path / "second", checkout=copy)
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def test_the_wheel_holds_the_model_packages_whole(wheel: Path) -> None:
    folder = CHECKOUT / "models" / "packages"
    with zipfile.ZipFile(wheel) as archive:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            name = f"service/_packages/{path.relative_to(folder).as_posix()}"
            assert archive.read(name) == path.read_bytes()


def test_the_wheel_holds_nothing_of_the_workbench_or_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        roots = {name.partition("/")[0] for name in archive.namelist()}
    assert roots == {"service", wheel.name.replace("-py3-none-any.whl", ".dist-info")}


def test_the_bill_names_every_wheel_and_every_model_package(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    shutil.copy(wheel, folder)
    _make_wheel(folder, "Some.Thing", "1.2")
    write_sbom(describe_wheels(folder, variant="cpu"), tmp_path / "sbom.json")
    bill = json.loads((tmp_path / "sbom.json").read_text())
    manifests = (yaml.safe_load(path.read_text()) for path in (CHECKOUT / "models/packages").glob("*/*/manifest.yaml"))
    models = {about["name"]: about for about in manifests}
    kinds = {entry["name"]: entry["type"] for entry in bill["components"]}
    assert kinds == {"some-thing": "library", **dict.fromkeys(models, "machine-learning-model")}
    assert bill["metadata"]["component"]["name"] == "dokuei"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    for entry in bill["components"]:
        if entry["type"] == "machine-learning-model":
            told = {item["name"]: item["value"] for item in entry["properties"]}
            assert told == {f"dokuei:sha256:{file}": sum_ for file, sum_ in models[entry["name"]]["files"].items()}


def _make_wheel(folder: Path, name: str, version: str) -> None:
    stem = f"{name}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(
            f"{stem}.dist-info/METADATA",
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n",
        )


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A bundle of a few files, sealed as a real one is; the whole is tried by make deploy-test."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    shutil.copy(INSTALL, folder)
    (folder / "wheels" / "one.whl").write_bytes(os.urandom(5000))
    (folder / "VERSION").write_text("0.1.0\n")
    return folder


def verify(folder: Path, *options: str) -> tuple[int, str]:
    command = ["sh", str(folder / "install.sh"), "--verify-only", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_sealed_bundle_is_accepted_and_one_flipped_bit_is_not(sealed: Path) -> None:
    seal(sealed)
    assert verify(sealed) == (0, "")
    for path in (sealed / "wheels" / "one.whl", sealed / "VERSION", sealed / "install.sh", sealed / SUMS):
        intact = path.read_bytes()
        place = len(intact) // 2
        path.write_bytes(intact[:place] + bytes([intact[place] ^ 1]) + intact[place + 1 :])
        status, _ = verify(sealed)
        assert status != 0, path.name
        path.write_bytes(intact)
    assert verify(sealed)[0] == 0


def test_a_file_too_many_or_too_few_is_not_accepted(sealed: Path) -> None:
    seal(sealed)
    extra = sealed / "wheels" / "two.whl"
    extra.write_bytes(b"")
    status, said = verify(sealed)
    assert status == 3
    assert "does not list" in said
    extra.unlink()
    extra.symlink_to("/etc/passwd")
    assert verify(sealed)[0] == 3
    extra.unlink()
    (sealed / "wheels" / "one.whl").unlink()
    assert verify(sealed)[0] == 3


def test_with_the_makers_key_only_what_it_signed_is_accepted(sealed: Path, tmp_path: Path) -> None:
    keys = {}
    for name in ("maker", "other"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
        subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
        keys[name] = private, public
    seal(sealed)
    assert verify(sealed, "--public-key", str(keys["maker"][1]))[0] == 3  # not signed at all
    seal(sealed, signing_key=keys["maker"][0])
    assert verify(sealed, "--public-key", str(keys["maker"][1])) == (0, "")
    assert verify(sealed, "--public-key", str(keys["other"][1]))[0] == 3
    # Somebody exchanges a wheel and writes the list anew, without the key.
    signature = (sealed / SIGNATURE).read_bytes()
    (sealed / "wheels" / "one.whl").write_bytes(b"other")
    seal(sealed)
    (sealed / SIGNATURE).write_bytes(signature)
    assert verify(sealed)[0] == 0
    assert verify(sealed, "--public-key", str(keys["maker"][1]))[0] == 3
