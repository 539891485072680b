# SPDX-License-Identifier: Apache-2.0
"""`dokuei phantom`: hands an order to the generator of the source checkout, and shows how far it is."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.cli.console import console, print_json, print_table
from service.domain.errors import ConfigurationError

_GENERATOR = "models.phantoms.generate"


def _is_checkout() -> bool:
    try:
        return find_spec(_GENERATOR) is not None
    except ModuleNotFoundError:
        return False


def _generator() -> Any:
    """Return the workbench's module, which an installed node does not have; nothing here imports it by name."""
    if not _is_checkout():
        raise ConfigurationError(
            "the phantom generator is not part of an installed node; run this in a source checkout "
            "(git clone, then pip install --editable '.[cpu]'), where the folder 'models' is"
        )
    return import_module(_GENERATOR)


def phantom(
    kind: str, *, out: Path, seed: int, count: int, variant: str | None, preview: bool, options: dict[str, Any]
) -> None:
    """Write phantoms and say where they are."""
    generator = _generator()
    order = generator.Order(
        kind=kind, out=out, seed=seed, count=count, variant=variant or "", preview=preview, options=options
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} images"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(f"drawing {kind}", total=None)
        folders = generator.generate(
            order,
            total=lambda total: progress.update(task, total=total),
            written=lambda: progress.advance(task),
        )
    for folder in folders:
        console.print(str(folder), markup=False)
    console.print(
        "Synthetic images computed from procedural phantoms: no patient, not for clinical use.", style="yellow"
    )


def list_kind(kind: str, *, as_json: bool) -> None:
    """Show the variants of a kind, or the kinds of lesions or head findings."""
    rows = _generator().listed(kind)
    if as_json:
        print_json([{"name": name, "what": what, "owed": owed} for name, what, owed in rows])
        return
    has_owed = any(owed for _, _, owed in rows)
    columns = ("variant", "what is changed", "what the node must do") if has_owed else ("name", "what it is")
    print_table(f"dokuei phantom {kind}", columns, [row[: len(columns)] for row in rows])
