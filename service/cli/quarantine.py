# SPDX-License-Identifier: Apache-2.0
"""`dokuei quarantine`: what was not let in, why, and what can be done about it."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json, print_table
from service.dicom.outline import outline
from service.domain.errors import ConfigurationError
from service.domain.quarantine import Quarantined
from service.settings import load_settings
from service.workflow.context import FlowParts
from service.workflow.release import Release, advice

IDENTITY = ("study_instance_uid", "sop_instance_uid")
INTERNAL = ("key", "flags")


def list_entries(config: Path, *, limit: int, identity: bool, as_json: bool) -> int:
    """Print the latest entries."""
    with open_desk(load_settings(config)) as parts, parts.ledger.reading() as view:
        entries = view.quarantine.rows(limit=limit)
    if as_json:
        print_json([_public(entry, identity=identity) for entry in entries])
        return 0
    columns = ["number", "last came", "reason", "peer", "bytes", "times"]
    rows = [_cells(entry, identity=identity) for entry in entries]
    print_table(f"Quarantine: the last {len(entries)}", columns + (["study", "instance"] if identity else []), rows)
    return 0


def show(config: Path, number: int, *, identity: bool, as_json: bool) -> int:
    """Print one entry."""
    with open_desk(load_settings(config)) as parts:
        entry = _entry(parts, number)
    structure = outline(entry.path, entry.offset) if entry.path and entry.offset and entry.path.is_file() else ()
    if as_json:
        print_json({**_public(entry, identity=identity), "advice": advice(entry), "structure": structure})
        return 0
    for name, value in _public(entry, identity=identity).items():
        if value not in ("", None):
            console.print(f"{name}: {value}", markup=False, soft_wrap=True)
    if structure:
        console.print("structure up to the fault (offset, element, VR, length):", style="bold")
        console.print("\n".join(structure), markup=False, soft_wrap=True)
    console.print(f"what to do: {advice(entry)}", markup=False, soft_wrap=True, style="bold")
    return 0


def release(config: Path, number: int, *, discard: bool) -> int:
    """Let one entry out, or delete it; exit status 1 when it stays."""
    with open_desk(load_settings(config)) as parts:
        entry, let_out = _entry(parts, number), Release(parts)
        if discard:
            let_out.discard(entry)
            console.print(f"entry {number} is deleted")
            return 0
        problem = let_out(entry)
    if problem:
        console.print(f"entry {number} stays: {problem}", markup=False, soft_wrap=True, style="red")
        return 1
    console.print(f"entry {number} is let out; a running node takes it up within a minute")
    return 0


def _entry(parts: FlowParts, number: int) -> Quarantined:
    with parts.ledger.reading() as view:
        entry = view.quarantine.get(number)
    if entry is None:
        raise ConfigurationError(f"the quarantine has no entry {number}; see `dokuei quarantine list`")
    return entry


def _public(entry: Quarantined, *, identity: bool) -> dict[str, Any]:
    hidden = INTERNAL if identity else (*INTERNAL, *IDENTITY)
    values = {name: value for name, value in asdict(entry).items() if name not in hidden}
    return {**values, "first_at": _local(entry.first_at), "last_at": _local(entry.last_at)}


def _cells(entry: Quarantined, *, identity: bool) -> list[str]:
    shown = [str(entry.id), _local(entry.last_at), entry.reason, entry.peer, str(entry.size_bytes), str(entry.times)]
    return shown + ([entry.study_instance_uid, entry.sop_instance_uid] if identity else [])


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone().isoformat(timespec="seconds")
