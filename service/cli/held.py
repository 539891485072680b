# SPDX-License-Identifier: Apache-2.0
"""`dokuei held`: the result objects that must not leave, and why."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json
from service.domain.entry import HeldObject
from service.settings import load_settings
from service.workflow.context import FlowParts


def held(config: Path, *, limit: int, identity: bool, as_json: bool) -> int:
    """Print the latest; exit status 1 when there is anything."""
    with open_desk(load_settings(config)) as parts:
        with parts.ledger.reading() as view:
            objects = view.jobs.held(limit=limit)
        rows = [_public(item, parts, identity=identity) for item in objects]
    if as_json:
        print_json(rows)
    else:
        _tell(rows)
    return 1 if rows else 0


def forget(config: Path) -> int:
    """Forget what is held; the files stay."""
    with open_desk(load_settings(config)) as parts, parts.ledger.transaction() as transaction:
        number = transaction.jobs.forget_held()
    console.print(f"{number} entries are forgotten; the files stay under storage.folder/results")
    return 0


def _public(item: HeldObject, parts: FlowParts, *, identity: bool) -> dict[str, Any]:
    """Return what may be shown: the reasons are free of values, UIDs and paths name the study."""
    shown = {
        "held_at": datetime.fromtimestamp(item.held_at, tz=UTC).astimezone().isoformat(timespec="seconds"),
        "study_key": parts.study_key(item.study_instance_uid),
        "pipeline": item.pipeline,
        "outcome": item.outcome,
        "kind": item.kind,
        "sop_class_uid": item.sop_class_uid,
        "destinations": list(item.destinations),
        "problems": list(item.problems),
    }
    named = {name: str(getattr(item, name)) for name in ("study_instance_uid", "sop_instance_uid", "path")}
    return {**shown, **named} if identity else shown


def _tell(rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print("nothing is held")
    for row in rows:
        place = f"{row['kind']} of study {row['study_key']} ({row['pipeline']}, {row['outcome'] or 'no outcome'})"
        whom = ", ".join(row["destinations"]) or "nobody"
        console.print(f"{row['held_at']}  {place}, for {whom}:", markup=False, soft_wrap=True, style="bold")
        for problem in row["problems"]:
            console.print(f"    {problem}", markup=False, soft_wrap=True)
        for name in ("study_instance_uid", "sop_instance_uid", "path"):
            if name in row:
                console.print(f"    {name}: {row[name]}", markup=False, soft_wrap=True)
