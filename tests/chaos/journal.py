# SPDX-License-Identifier: Apache-2.0
"""Compares the node's journal with its disk, row by row and file by file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from pydicom.filereader import read_file_meta_info

from harness.node import NodeProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What does not agree; every list is empty in a sound node."""

    missing: tuple[str, ...]
    """SOP Instance UIDs whose file is not there."""
    torn: tuple[str, ...]
    """SOP Instance UIDs whose file is not what was received."""
    orphans: tuple[str, ...]
    """Files of instances and results that the journal does not name."""
    partial: tuple[str, ...]
    """Files in `incoming`."""

    @property
    def sound(self) -> bool:
        return not (self.missing or self.torn or self.orphans or self.partial)

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each kind that is not empty."""
        kinds = {"missing": self.missing, "torn": self.torn, "orphans": self.orphans, "partial": self.partial}
        return tuple(f"{len(found)} {kind}, the first is {found[0]}" for kind, found in kinds.items() if found)


def audit(node: NodeProgram) -> Audit:
    """Look at a node that does not write now."""
    data = node.data
    instances = _rows(node, "SELECT sop_instance_uid, path, sha256 FROM instance")
    results = _rows(node, "SELECT sop_instance_uid, path, '' FROM result_object")
    named = {data / path for path, _ in (*instances.values(), *results.values())}
    present = {*data.glob("instances/*/*"), *data.glob("results/*/*.dcm")}
    return Audit(
        missing=tuple(uid for uid, (path, _) in {**instances, **results}.items() if not (data / path).is_file()),
        torn=tuple(
            uid
            for uid, (path, digest) in instances.items()
            if (data / path).is_file() and dataset_sha256(data / path) != digest
        ),
        orphans=tuple(sorted(str(path.relative_to(data)) for path in present - named)),
        partial=tuple(sorted(path.name for path in data.rglob("incoming/**/*") if path.is_file())),
    )


def stored_instances(node: NodeProgram) -> Mapping[str, str]:
    """Return the SHA-256 of every instance in the journal by SOP Instance UID."""
    rows = _rows(node, "SELECT sop_instance_uid, path, sha256 FROM instance")
    return {uid: digest for uid, (_, digest) in rows.items()}


def job_states(node: NodeProgram) -> list[str]:
    """Return the state of every job."""
    with node.journal() as connection:
        return [str(row[0]) for row in connection.execute(sa.text("SELECT state FROM job ORDER BY id"))]


def dataset_sha256(path: Path) -> str:
    """Return the digest of a Part 10 file without its preamble and file meta information."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(dataset_start(path))
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def dataset_start(path: Path) -> int:
    """Return where the data set begins: behind the group length element and the group that it measures."""
    return 132 + 12 + int(read_file_meta_info(path).FileMetaInformationGroupLength)


def _rows(node: NodeProgram, statement: str) -> dict[str, tuple[str, str]]:
    with node.journal() as connection:
        return {str(row[0]): (str(row[1]), str(row[2])) for row in connection.execute(sa.text(statement))}
