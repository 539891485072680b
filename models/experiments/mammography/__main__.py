# SPDX-License-Identifier: Apache-2.0
"""Measures a mammography package on phantom exams that no training has drawn: FROC by kind, exam ROC, a figure."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.experiments.mammography.curves import (
    FALSE_MARKS,
    REPORTED,
    Banded,
    banded,
    exam_auc,
    exam_specificity,
    has_lesions,
    lesion_sensitivity,
)
from models.experiments.mammography.picture import draw_froc
from models.experiments.mammography.reading import ReadExam, by_kind, read_exams
from models.recipes.mammography_fine import MEASURED, MEASURED_COUNTS, draw_views
from service.domain.errors import DokueiError
from service.inference.package import LoadedPackage, load_package

FIRST_SEED = 95_000
"""Phantoms from here on are drawn for this measurement alone."""
FIRST_NORMAL_SEED = 95_500
"""The same for exams without a lesion, which the specificity is of: among the others few are without."""
FEWEST = 10
CONDITIONS: Mapping[str, float] = {"unseen scanners": 1.8, "scanners as in training": 1.0}
"""How far scanners are drawn from the usual ones; the harder condition first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write `curves.json`, `froc.png` and, to the standard output, the table."""
    options = _parser().parse_args(arguments)
    if options.exams < FEWEST:
        sys.stderr.write(f"mammography: --exams is {options.exams}; at least {FEWEST}, or the bands say nothing\n")
        return 2
    try:
        package = load_package(options.package, provider="cpu")
    except DokueiError as error:
        sys.stderr.write(f"mammography: {error}\n")
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    read = {name: _exams(package, options.exams, shift=shift) for name, shift in CONDITIONS.items()}
    hardest = read[next(iter(CONDITIONS))]
    kinds = [kind for kind, exams in hardest.items() if "," not in kind and has_lesions(exams)]
    draw_froc(
        {kind: {name: _curve(found[kind]) for name, found in read.items()} for kind in kinds}, options.out / "froc.png"
    )
    normal = {name: _normal_exams(package, options.normal, shift=shift) for name, shift in CONDITIONS.items()}
    rows = list(_rows(read, normal, triage=package.operating_points[package.triage_operating_point]))
    (options.out / "curves.json").write_text(json.dumps(rows, indent=1), "utf-8")
    sys.stdout.write(as_table(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.mammography", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of a mammography package")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figure and the numbers")
    parser.add_argument("--exams", type=int, default=40, help="exams of four views for each condition (40)")
    parser.add_argument("--normal", type=int, default=40, help="exams without a lesion for each condition (40)")
    return parser


def _curve(exams: Sequence[ReadExam]) -> Banded:
    return banded(exams, partial(lesion_sensitivity, false_marks=FALSE_MARKS))


def _exams(package: LoadedPackage, count: int, *, shift: float) -> dict[str, list[ReadExam]]:
    views = draw_views(FIRST_SEED, count, shift=shift, shares=MEASURED, counts=MEASURED_COUNTS)
    read = read_exams(views, package)
    return by_kind(list(tqdm(read, unit="exam", total=count, desc=f"scanner spread {shift:g}")), package)


def _normal_exams(package: LoadedPackage, count: int, *, shift: float) -> list[ReadExam]:
    views = draw_views(FIRST_NORMAL_SEED, count, shift=shift, shares=MEASURED, counts=(1.0,))
    read = tqdm(read_exams(views, package), unit="exam", total=count, desc=f"without lesions, spread {shift:g}")
    return next(iter(by_kind(list(read), package).values()))


def _rows(
    read: Mapping[str, Mapping[str, Sequence[ReadExam]]], normal: Mapping[str, Sequence[ReadExam]], *, triage: float
) -> Iterator[dict[str, object]]:
    for condition, kinds in read.items():
        for kind, exams in kinds.items():
            lesions = sum(len(exam.lesions) for exam in exams)
            for allowed in REPORTED if lesions else ():
                found = banded(exams, partial(lesion_sensitivity, false_marks=np.array([allowed])))
                yield as_row(condition, f"{kind}: sensitivity at {allowed:g} false marks per view", found, lesions)
        exams = next(iter(kinds.values()))
        yield as_row(condition, "exam AUC", banded(exams, exam_auc), len(exams))
        if normal[condition]:
            found = banded(normal[condition], partial(exam_specificity, threshold=triage))
            yield as_row(condition, "exam specificity at the triage threshold", found, len(normal[condition]))


def as_row(condition: str, name: str, found: Banded, cases: int) -> dict[str, object]:
    """Return one line of the table."""
    value, low, high = (round(float(part[0]), 3) for part in (found.value, found.low, found.high))
    return {"condition": condition, "name": name, "value": value, "low": low, "high": high, "cases": cases}


def as_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the lines as a table of Markdown."""
    lines = ["| | condition | value | 95 % band | cases |", "|---|---|---|---|---|"]
    for row in rows:
        band = f"{row['low']} to {row['high']}"
        lines.append(f"| {row['name']} | {row['condition']} | {row['value']} | {band} | {row['cases']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
