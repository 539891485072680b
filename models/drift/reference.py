# SPDX-License-Identifier: Apache-2.0
"""Puts a reference into a package: what phantom studies on the scanners of its training come to in its own pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from models.drift.bodies import ANY, SETTINGS, USUAL
from models.drift.studies import BROKEN_WINDOW, UNCHANGED, Order, Row, append_row, missing, read_rows, run_order
from models.packaging import put_keys
from service.domain.drift import DriftReference
from service.drift.reference import make_reference
from service.inference.manifest import load_manifest
from service.inference.package import load_package

STUDIES: Final = 104
FIRST_SEED: Final = 40_000
SITE_STUDIES: Final = 160
CHANGED_STUDIES: Final = 40
FIRST_SITE_SEED: Final = 50_000
LEFT_OUT: Final = ("spacing_mm", "outcome")
"""Channels that say how the phantoms were drawn, or how many of them, and nothing of the package."""
_EMPTY: Final[tuple[object, ...]] = ((), [], "", 0.0)


def orders(studies: int = STUDIES) -> list[Order]:
    """Return the studies of a reference: every second one with disease."""
    return [Order(seed=FIRST_SEED + index, setting=ANY, diseased=index % 2 == 0) for index in range(studies)]


def site_orders(usual: int = SITE_STUDIES, changed: int = CHANGED_STUDIES) -> list[Order]:
    """Return the studies that a simulated site draws from: on its one scanner, then on it with one thing changed.

    No seed is used twice, and every second study is with disease.
    """
    changes = [(setting, UNCHANGED) for setting in SETTINGS if setting not in {ANY, USUAL}]
    kinds = [(USUAL, UNCHANGED, usual), *((*change, changed) for change in (*changes, (USUAL, BROKEN_WINDOW)))]
    all_kinds = [(setting, change) for setting, change, count in kinds for _ in range(count)]
    return [
        Order(seed=FIRST_SITE_SEED + index, setting=setting, diseased=index % 2 == 0, change=change)
        for index, (setting, change) in enumerate(all_kinds)
    ]


def measure(package: Path, rows_file: Path, *, wanted: Sequence[Order], told: Callable[[int], object]) -> list[Row]:
    """Draw and analyse what `rows_file` lacks of the studies, and return their rows; `told` hears how many are left."""
    loaded, pipeline = load_package(package, provider="cpu"), load_manifest(package).pipeline
    left = list(missing(wanted, read_rows(rows_file)))
    for index, order in enumerate(left):
        told(len(left) - index)
        append_row(rows_file, run_order(pipeline, loaded, order))
    return [row for row in read_rows(rows_file) if row.order in set(wanted)]


def reference_of(rows: Sequence[Row]) -> DriftReference:
    """Return the reference of the rows that lie on the scanners of training."""
    used = [row for row in rows if (row.order.setting, row.order.change) == (ANY, UNCHANGED)]
    diseased = sum(row.order.diseased for row in used)
    return make_reference(
        [_without(row) for row in used],
        source=f"{len(used)} phantom studies on the scanners of training, {diseased} of them with disease",
    )


def _without(row: Row) -> Any:
    kept = row.monitored
    return replace(
        kept,
        numbers={name: value for name, value in kept.numbers.items() if name not in LEFT_OUT},
        words={name: word for name, word in kept.words.items() if name not in LEFT_OUT},
    )


def manifest_section(reference: DriftReference) -> dict[str, Any]:
    """Return the manifest's key `drift_reference`; JSON types, nothing that is empty."""
    plain: dict[str, Any] = _plain(asdict(reference))
    return {"drift_reference": plain}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if entry not in _EMPTY}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def add_reference(package: Path, rows: Sequence[Row]) -> None:
    """Write the reference of these rows into the package's manifest; its digest becomes another one.

    Raises
    ------
    ValueError
        The rows are too few.
    PackageError
        The package would not be accepted by the node; it stays as it was.
    """
    put_keys(package, manifest_section(reference_of(rows)))
