# SPDX-License-Identifier: Apache-2.0
"""`dokuei models init | seal | sign | promote | export | install`: a package from a first draft to the node."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.bootstrap.package_making import (
    Approval,
    install,
    place_folder,
    promote,
    read_unproven,
    record_studies,
    sign_package,
)
from service.bootstrap.packages import packages_folder, signature_policy
from service.cli.console import console, print_json
from service.cli.models_skeleton import HOW_TO, LICENSE, MODEL_CARD, manifest_skeleton
from service.domain.errors import ConfigurationError
from service.inference.archive import SUFFIX, write_archive
from service.inference.manifest import MANIFEST_NAME, SIGNATURES_NAME
from service.inference.sealing import seal
from service.inference.signature import load_private_key
from service.pipelines import PIPELINES
from service.settings import Settings, load_settings

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def init(folder: Path, name: str, *, pipeline: str, version: str) -> int:
    """Write a skeleton `<folder>/<name>/<version>/` for a person to fill in."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"name {name!r}: 1 to 64 of a-z 0-9 _ - beginning with a letter")
    if pipeline not in PIPELINES:
        raise ConfigurationError(f"--pipeline {pipeline!r}: known are {', '.join(sorted(PIPELINES))}")
    target = folder.resolve() / name / version

    def write(draft: Path) -> None:
        for part in ("graphs", "golden"):
            (draft / part).mkdir()
        texts = {
            MANIFEST_NAME: manifest_skeleton(name, version=version, pipeline=pipeline),
            "MODEL_CARD.md": MODEL_CARD,
            "LICENSE": LICENSE,
        }
        for file, text in texts.items():
            (draft / file).write_text(text, encoding="utf-8")

    place_folder(target, write)
    console.print(HOW_TO.format(folder=target), markup=False)
    return 0


def seal_package(folder: Path, *, record: bool, as_json: bool) -> int:
    """Bring the digests up to date, and with `record` the expected records of golden studies."""
    place = folder.resolve()
    recorded = record_studies(place) if record else ()
    answer = {"folder": str(place), "files": seal(place), "recorded": list(recorded)}
    _say(
        answer,
        f"{place}: {answer['files']} files listed; recorded: {', '.join(recorded) or 'nothing'}",
        as_json=as_json,
    )
    return 0


def sign(folder: Path, key: Path, *, days: int | None, as_json: bool) -> int:
    """Sign a package folder."""
    now = _now()
    expires = None if days is None else now + timedelta(days=days)
    files = sign_package(folder.resolve(), key=load_private_key(key), now=now, expires_at=expires)
    answer = {"folder": str(folder), "sha256": files.identity.sha256, "expires_at": expires}
    until = f"until {expires:%Y-%m-%d}" if expires else "without an end"
    _say(answer, f"{folder}: signed {files.identity.sha256} {until}", as_json=as_json)
    return 0


def promote_package(
    place: Path,
    version: str,
    *,
    report: Path,
    approver: str,
    key: Path,
    out: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Write the package one rung higher as another version."""
    settings = _settings(config)
    approval = Approval(approver=approver, report=report.resolve(), key=load_private_key(key), now=_now())
    target = (out or packages_folder(settings)).resolve()
    folder = promote(place.resolve(), version, target=target, approval=approval, policy=signature_policy(settings))
    identity = read_unproven(folder).identity
    answer = {"folder": str(folder), "status": identity.status.value, "sha256": identity.sha256}
    _say(answer, f"{folder}: status {identity.status}, approved by {approver}, signed", as_json=as_json)
    return 0


def export(folder: Path, out: Path | None, *, as_json: bool) -> int:
    """Write the package as one file."""
    files = read_unproven(folder.resolve())
    signatures = {SIGNATURES_NAME: files.signatures} if files.signatures else {}
    data = write_archive({**files.contents, MANIFEST_NAME: files.manifest_bytes, **signatures})
    path = out or Path(f"{files.identity.name}-{files.identity.version}{SUFFIX}")
    with path.open("xb") as stream:
        stream.write(data)
    answer = {"file": str(path), "bytes": len(data), "sha256": files.identity.sha256}
    _say(answer, f"{path}: {len(data)} bytes, package {files.identity.sha256}", as_json=as_json)
    return 0


def install_package(place: Path, config: Path | None, *, as_json: bool) -> int:
    """Put a package where the node of this configuration looks for it."""
    settings = _settings(config)
    target = packages_folder(settings).resolve()
    folder = install(place.resolve(), target=target, policy=signature_policy(settings))
    answer = {"folder": str(folder), "package": folder.parent.name, "version": folder.name}
    text = f"{folder}: installed; name package {folder.parent.name} version {folder.name} in config.yaml to run it"
    _say(answer, text, as_json=as_json)
    return 0


def _say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        console.print(text, markup=False)


def _settings(config: Path | None) -> Settings:
    return load_settings(config) if config else Settings()


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
