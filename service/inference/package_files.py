# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a package folder once, and only those that the manifest lists with this very content."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.errors import PackageError
from service.domain.result import PackageIdentity
from service.inference.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, Manifest, parse_manifest
from service.inference.plain_file import read_file

MAX_FILES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """A package whose files are what its manifest says; `contents` by relative path."""

    folder: Path
    manifest: Manifest
    identity: PackageIdentity
    contents: Mapping[str, bytes]


def read_package(folder: Path) -> PackageFiles:
    """Read and verify every file of a package folder.

    The bytes that were verified are the bytes that are used: nothing is opened a second time.

    Raises
    ------
    PackageError
        The manifest is wrong, or a file is missing, unlisted, altered, linked or too large.
    """
    manifest_bytes = read_file(folder / MANIFEST_NAME, max_bytes=MANIFEST_MAX_BYTES)
    manifest = parse_manifest(manifest_bytes, folder=folder)
    _check_listing(_list_folder(folder), manifest, folder=folder)
    contents = {name: read_file(folder / name) for name in sorted(manifest.files)}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    for name, digest in digests.items():
        if digest != manifest.files[name]:
            raise PackageError(
                f"{folder / name}: SHA-256 {digest} differs from the manifest's {manifest.files[name]}; "
                "the file was altered: re-install the package"
            )
    digests[MANIFEST_NAME] = hashlib.sha256(manifest_bytes).hexdigest()
    identity = _identify(manifest, package_digest(digests))
    return PackageFiles(folder=folder, manifest=manifest, identity=identity, contents=contents)


def package_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a package: SHA-256 over "digest  path" lines sorted by path, as sha256sum prints them.

    The manifest counts too, because thresholds live in it.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _identify(manifest: Manifest, digest: str) -> PackageIdentity:
    return PackageIdentity(
        name=manifest.name,
        version=manifest.version,
        sha256=digest,
        status=manifest.status,
        title=manifest.title,
    )


def _check_listing(found: set[str], manifest: Manifest, *, folder: Path) -> None:
    extra = sorted(found - set(manifest.files) - {MANIFEST_NAME})
    if extra:
        raise PackageError(f"{folder}: holds {', '.join(extra[:5])}, which the manifest does not list; remove it")
    missing = sorted(set(manifest.files) - found)
    if missing:
        raise PackageError(
            f"{folder}: lacks {', '.join(missing[:5])}, which the manifest lists; re-install the package"
        )


def _list_folder(folder: Path) -> set[str]:
    found: set[str] = set()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink():
                raise PackageError(f"{path}: is a symbolic link; a package holds plain files only")
        found.update((Path(parent) / name).relative_to(folder).as_posix() for name in files)
        if len(found) > MAX_FILES:
            raise PackageError(f"{folder}: holds more than {MAX_FILES} files")
    return found
