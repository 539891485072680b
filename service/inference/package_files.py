# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a package once, and only those that the manifest lists with this very content.

A package is a folder `<name>/<version>/` or one `.cadpkg` file (see `archive`); both come to the same bytes.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.domain.errors import PackageError
from service.domain.result import PackageIdentity
from service.inference.archive import read_archive
from service.inference.manifest import (
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    SIGNATURES_NAME,
    UNLISTED,
    Manifest,
    parse_content,
    parse_manifest,
)
from service.inference.plain_file import read_file
from service.inference.signature import (
    SIGNATURES_MAX_BYTES,
    UNSIGNED_ALLOWED,
    SignaturePolicy,
    require_signature,
    verify_signatures,
)

MAX_FILES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """A package whose files are what its manifest says; `contents` by relative path.

    `folder` is the package's folder or its .cadpkg file; `signers` are the keys (SHA-256 of the public key) whose
    signatures were verified and are of the site's policy; `signatures` is the content of SIGNATURES.json, b"" without.
    """

    folder: Path
    manifest: Manifest
    identity: PackageIdentity
    contents: Mapping[str, bytes]
    manifest_bytes: bytes
    signatures: bytes = b""
    signers: tuple[str, ...] = ()


def read_package(
    place: Path,
    *,
    policy: SignaturePolicy = UNSIGNED_ALLOWED,
    now: datetime | None = None,
    status_needs_signature: bool = True,
) -> PackageFiles:
    """Read and verify every file of a package folder or .cadpkg file.

    The bytes that were verified are the bytes that are used: nothing is opened a second time.

    Parameters
    ----------
    policy
        Whose signatures the site asks for.
    now
        When signatures must not have expired; the present when absent.
    status_needs_signature
        Refuse statuses above research without a signature; False for those who sign.

    Raises
    ------
    PackageError
        The manifest is wrong, a file is missing, unlisted, altered, linked or too large, or no signature satisfies
        the policy.
    """
    if place.is_file():
        contents = read_archive(place)
        manifest_bytes = _take(contents, MANIFEST_NAME, place=place)
        manifest = parse_content(manifest_bytes, where=str(place / MANIFEST_NAME))
        _check_listing(set(contents), manifest, folder=place)
    else:
        manifest_bytes = read_file(place / MANIFEST_NAME, max_bytes=MANIFEST_MAX_BYTES)
        manifest = parse_manifest(manifest_bytes, folder=place)
        found = _list_folder(place)
        _check_listing(found, manifest, folder=place)
        contents = {name: read_file(place / name) for name in sorted(manifest.files)}
        if SIGNATURES_NAME in found:
            contents[SIGNATURES_NAME] = read_file(place / SIGNATURES_NAME, max_bytes=SIGNATURES_MAX_BYTES)
    signatures = contents.pop(SIGNATURES_NAME, b"")
    identity = _verify_digests(manifest, manifest_bytes, contents, folder=place)
    where = str(place / SIGNATURES_NAME)
    verdict = verify_signatures(signatures, identity, policy=policy, now=now or datetime.now(UTC), where=where)
    if policy.required or status_needs_signature:
        require_signature(verdict, identity, policy=policy, where=where)
    return PackageFiles(
        folder=place,
        manifest=manifest,
        identity=identity,
        contents=contents,
        manifest_bytes=manifest_bytes,
        signatures=signatures,
        signers=verdict.signers,
    )


def _take(contents: dict[str, bytes], name: str, *, place: Path) -> bytes:
    try:
        data = contents.pop(name)
    except KeyError:
        raise PackageError(f"{place}: holds no {name}; export the package again") from None
    if len(data) > MANIFEST_MAX_BYTES:
        raise PackageError(f"{place / name}: {len(data)} bytes; at most {MANIFEST_MAX_BYTES} are allowed")
    return data


def _verify_digests(
    manifest: Manifest, manifest_bytes: bytes, contents: Mapping[str, bytes], *, folder: Path
) -> PackageIdentity:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    for name, digest in digests.items():
        if digest != manifest.files[name]:
            raise PackageError(
                f"{folder / name}: SHA-256 {digest} differs from the manifest's {manifest.files[name]}; "
                "the file was altered: re-install the package"
            )
    digests[MANIFEST_NAME] = hashlib.sha256(manifest_bytes).hexdigest()
    return _identify(manifest, package_digest(digests))


def package_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a package: SHA-256 over "digest  path" lines sorted by path, as sha256sum prints them.

    The manifest counts too, because thresholds live in it; signatures do not, because they are made over the digest.
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
    extra = sorted(found - set(manifest.files) - UNLISTED)
    if extra:
        raise PackageError(f"{folder}: holds {', '.join(extra[:5])}, which the manifest does not list; remove it")
    missing = sorted(set(manifest.files) - found)
    if missing:
        raise PackageError(
            f"{folder}: lacks {', '.join(missing[:5])}, which the manifest lists; re-install the package"
        )


def _list_folder(folder: Path) -> set[str]:
    """Return the files below a folder, which only its owner and group may change."""
    _check_writers(folder)
    found: set[str] = set()
    seen = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink():
                raise PackageError(f"{path}: is a symbolic link; a package holds plain files only")
            _check_writers(path)
        found.update((Path(parent) / name).relative_to(folder).as_posix() for name in files)
        seen += len(folders) + len(files)
        if seen > MAX_FILES:
            raise PackageError(f"{folder}: holds more than {MAX_FILES} files and folders")
    return found


def _check_writers(path: Path) -> None:
    mode = path.lstat().st_mode
    if mode & stat.S_IWOTH and not stat.S_ISLNK(mode):
        raise PackageError(
            f"{path}: everybody may write to it (mode {stat.S_IMODE(mode):04o}), so that nobody answers for the "
            "package; remove that right (chmod -R o-w)"
        )
