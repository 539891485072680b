# SPDX-License-Identifier: Apache-2.0
"""The readings as tables: by profusion, shape and zone, then of whole films; unseen scanners always first."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.experiments.film_sheets.plan import ALIKE
from models.experiments.film_sheets.reading import CONDITIONS, SheetReading, true_overall
from models.experiments.report001.statistics import proportion
from models.phantoms.chest_radiograph.opacities import PROFUSION, SHAPES, ZONES
from models.recipes.pneumoconiosis_training import kappa
from service.pipelines.pneumoconiosis.japanese_type import TYPE_OF_PROFUSION
from service.pipelines.pneumoconiosis.reading import ABNORMAL, nearest_step

TOLERANCE = 1
"""Steps of the 12-point scale within which an answer counts as right."""
Zone = tuple[SheetReading, str]
Flags = NDArray[np.bool_]


def as_csv(readings: Sequence[SheetReading]) -> str:
    """Return one line for each zone: every profusion x shape x zone, as drawn and as read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["condition", "design", "film", "shape", "zone", "drawn", "read"])
    for reading, zone in _zones(readings):
        drawn, read = PROFUSION[reading.study.disease.levels[zone]], PROFUSION[reading.zones[zone]]
        study = reading.study
        writer.writerow([reading.condition, study.design, study.number, study.shape, zone, drawn, read])
    return text.getvalue()


def as_markdown(readings: Sequence[SheetReading], *, refused: int) -> str:
    """Return the page: zones by profusion, shape and zone, what is read where, and whole films."""
    zones = list(_zones(readings))
    lines = [
        f"{len(zones)} zones of {len(readings)} films; {refused} films were refused.",
        f"Right: within {TOLERANCE} step of the 12-point scale. Intervals are 95 % after Wilson and take zones as",
        "independent, which those of a film are not.",
        "",
        *_table("profusion", PROFUSION, zones, lambda reading, zone: PROFUSION[_drawn(reading, zone)]),
        *_table("shape", SHAPES, zones, lambda reading, _: reading.study.shape),
        *_table("zone", ZONES, zones, lambda _, zone: zone),
        *_means("shape", SHAPES, zones, lambda reading, _: reading.study.shape),
        *_means("zone", ZONES, zones, lambda _, zone: zone),
        *_films(readings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def within(readings: Sequence[SheetReading]) -> float:
    """Return the share of zones read within the tolerance."""
    return float(_right(list(_zones(readings))).mean())


def agreement(readings: Sequence[SheetReading]) -> float:
    """Return the quadratic weighted kappa of the zones on the 12-point scale, NaN without any."""
    drawn, read = _steps(list(_zones(readings)))
    return kappa(drawn, read) if drawn.size else float("nan")


def _zones(readings: Sequence[SheetReading]) -> Iterator[Zone]:
    return ((reading, zone) for reading in readings for zone in ZONES)


def _drawn(reading: SheetReading, zone: str) -> int:
    return reading.study.disease.levels[zone]


def _steps(zones: Sequence[Zone]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what was drawn and what was read, (N,) each."""
    drawn = np.array([_drawn(*zone) for zone in zones], dtype=np.int64)
    return drawn, np.array([reading.zones[zone] for reading, zone in zones], dtype=np.int64)


def _right(zones: Sequence[Zone]) -> Flags:
    drawn, read = _steps(zones)
    return np.asarray(np.abs(drawn - read) <= TOLERANCE)


def _table(
    title: str, names: Sequence[str], zones: Sequence[Zone], name_of: Callable[[SheetReading, str], str]
) -> Iterator[str]:
    """Yield, by name and condition, how many zones are right, and how many are read as 1/0 or more."""
    yield _line([title, *(f"right, {c}" for c in CONDITIONS), *(f"1/0 or more, {c}" for c in CONDITIONS)])
    yield _line(["---"] * (1 + 2 * len(CONDITIONS)))
    for name in (*names, "all"):
        own = [[z for z in zones if z[0].condition == c and name in {name_of(*z), "all"}] for c in CONDITIONS]
        right = [str(proportion(_right(part))) for part in own]
        called = [_share(_steps(part)[1] >= ABNORMAL) for part in own]
        yield _line([name, *right, *called])
    yield ""


def _means(
    title: str, names: Sequence[str], zones: Sequence[Zone], name_of: Callable[[SheetReading, str], str]
) -> Iterator[str]:
    """Yield, by profusion, which step is read on average at each name, unseen and usual scanners side by side."""
    yield f"Mean step read, by {title}: {' / '.join(CONDITIONS)}. Steps count from 0 (0/-) to 11 (3/+)."
    yield ""
    yield _line(["drawn", *names])
    yield _line(["---"] * (1 + len(names)))
    for level, profusion in enumerate(PROFUSION):
        own = [z for z in zones if _drawn(*z) == level]
        parts = [[[z for z in own if name_of(*z) == n and z[0].condition == c] for c in CONDITIONS] for n in names]
        yield _line([f"{profusion} ({level})", *(" / ".join(map(_mean, part)) for part in parts)])
    yield ""


def _mean(zones: Sequence[Zone]) -> str:
    return f"{_steps(zones)[1].mean():.1f}" if zones else "-"


def _films(readings: Sequence[SheetReading]) -> Iterator[str]:
    """Yield what whole films come to, in each condition."""
    yield _line(["whole films", *CONDITIONS])
    yield _line(["---"] * (1 + len(CONDITIONS)))
    parts = [[reading for reading in readings if reading.condition == condition] for condition in CONDITIONS]
    alike = [[reading for reading in part if reading.study.design == ALIKE] for part in parts]
    diseased = [[reading for reading in part if _abnormal(reading)] for part in alike]
    called = [[reading for reading in part if reading.overall >= ABNORMAL] for part in diseased]
    measures: tuple[tuple[str, list[list[SheetReading]], Callable[[SheetReading], bool]], ...] = (
        ("overall profusion is right", parts, lambda r: abs(r.overall - true_overall(r.study)) <= TOLERANCE),
        ("one profusion on the film: overall is right", alike, lambda r: abs(r.overall - _level(r)) <= TOLERANCE),
        ("the same: on the right side of 1/0", alike, lambda r: (r.overall >= ABNORMAL) == _abnormal(r)),
        ("the same: candidate type is right", alike, lambda r: r.candidate == _type(r)),
        ("the same, called 1/0 or more: leading shape is right", called, lambda r: r.shape == r.study.shape),
    )
    for name, films, right in measures:
        yield _line([name, *(str(proportion(np.array([right(r) for r in part], dtype=bool))) for part in films)])
    for name, chosen in (("quadratic weighted kappa of the zones", parts), ("the same, alike films", alike)):
        yield _line([name, *(f"{agreement(part):.3f}" for part in chosen)])


def _level(reading: SheetReading) -> int:
    return nearest_step(true_overall(reading.study))


def _abnormal(reading: SheetReading) -> bool:
    return _level(reading) >= ABNORMAL


def _type(reading: SheetReading) -> str:
    return TYPE_OF_PROFUSION[PROFUSION[_level(reading)]].value


def _share(called: Flags) -> str:
    return f"{called.mean():.2f}" if called.size else "-"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
