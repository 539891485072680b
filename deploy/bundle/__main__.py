# SPDX-License-Identifier: Apache-2.0
"""Makes the bundle that installs a node without a network: `dokuei-<version>-<variant>-offline.tar`.

`python -m deploy.bundle [--variant cpu|gpu|openvino] [--out FOLDER] [--sign KEY.pem]`

It needs the package index once, for the wheels of the lock file, each compared with its digest there, and runs on the
Python version and processor that the bundle is for. The same commit and lock give the same bytes.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy import CHECKOUT, DEPLOY, VARIANTS
from deploy.lock import lock_file, project
from deploy.sbom import describe_wheels, write_sbom
from deploy.wheel import build_wheel, source_date_epoch

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
DOCUMENTS = ("README.md", "CHANGELOG.md", "LICENSE", "docs")
SHARED = {"orthanc": "orthanc", "systemd": "systemd", "audit": "advisories", "config.yaml": "config.yaml"}
"""What of deploy/ the installed node keeps in share/, and under which name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one bundle and say where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--variant", choices=VARIANTS, default="cpu", help="where graphs shall run")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "build" / "bundle", help="folder of bundles")
    parser.add_argument("--sign", type=Path, help="Ed25519 private key (PEM, no passphrase) that signs SHA256SUMS")
    chosen = parser.parse_args(arguments)
    path = make_bundle(chosen.out, variant=chosen.variant, signing_key=chosen.sign)
    sys.stdout.write(f"{path} ({path.stat().st_size / 1e6:.0f} MB)\n")


def make_bundle(out: Path, *, variant: str, signing_key: Path | None = None) -> Path:
    """Make the bundle of a variant in a folder; return the path of the tar file."""
    name = f"dokuei-{project()['version']}-{variant}"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".making-") as scratch:
        folder = Path(scratch) / name
        fill(folder, variant=variant)
        seal(folder, signing_key=signing_key)
        return _pack(folder, out / f"{name}-offline.tar")


def fill(folder: Path, *, variant: str) -> None:
    """Put everything into the bundle's folder but the list of digests."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    own = build_wheel(wheels)
    for lock in (lock_file(variant), lock_file("bootstrap")):
        _download(lock, wheels)
    _write_requirements(folder / "requirements.txt", variant=variant, own=own)
    for script in ("install.sh", "uninstall.sh"):
        shutil.copy(DEPLOY / "bundle" / script, folder)
    for label, text in (("VERSION", project()["version"]), ("VARIANT", variant), ("PYTHON", _python_version())):
        (folder / label).write_text(f"{text}\n")
    _share(folder / "share")
    write_sbom(describe_wheels(wheels, variant=variant), folder / "share" / "sbom.cdx.json")


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _download(lock: Path, wheels: Path) -> None:
    options = ["-qq", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(wheels)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "--requirement", str(lock)], check=True)


def _write_requirements(path: Path, *, variant: str, own: Path) -> None:
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    first = f"dokuei=={project()['version']} --hash=sha256:{digest}\n"
    path.write_text(first + lock_file(variant).read_text(encoding="utf-8"))


def _share(folder: Path) -> None:
    for name in DOCUMENTS:
        _copy(CHECKOUT / name, folder / name)
    for name, target in SHARED.items():
        _copy(DEPLOY / name, folder / target)
    shutil.copy(DEPLOY / "bundle" / "dokuei-command", folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    else:
        shutil.copy(source, target)


def seal(folder: Path, *, signing_key: Path | None = None) -> None:
    """Write SHA256SUMS over every file, in the form of sha256sum(1), and its Ed25519 signature when there is a key."""
    lines = [f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / SUMS).write_text("".join(lines))
    if signing_key is not None:
        key = load_pem_private_key(signing_key.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{signing_key} is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519")
        (folder / SIGNATURE).write_bytes(key.sign((folder / SUMS).read_bytes()))


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, SIGNATURE))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(folder: Path, target: Path) -> Path:
    """Write the tar file with one owner, one date and a fixed order."""
    unfinished = target.with_suffix(".part")
    with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            archive.add(path, arcname=path.relative_to(folder.parent), recursive=False, filter=_plain)
    return unfinished.replace(target)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = source_date_epoch()
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


if __name__ == "__main__":
    main()
