# SPDX-License-Identifier: Apache-2.0
"""Phantom studies through the node's own pipelines, in this process, and how their results compare."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.shipped import shipped
from models.phantoms.variants.variant import Expected
from service.dicom.header import read_attributes
from service.domain.errors import InputError
from service.domain.instance import Instance
from service.domain.result import Outcome, PipelineResult, Presence
from service.domain.study import Refusal
from service.inference.package import LoadedPackage, load_package
from service.pipelines import PIPELINES
from service.ports import Tensors

ANALYSED_AT = datetime(2026, 4, 1, tzinfo=UTC)
PIPELINE_OF = {"radiograph": "pneumoconiosis", "hrct": "diffuse_lung", "mammogram": "mammography"}
_FOLDERS = {"radiograph": "pneumoconiosis-demo", "hrct": "diffuse-lung-demo", "mammogram": "mammography-demo"}


class Remembering:
    """The real package, which is asked once for the same tensors: most variants come to the same patches."""

    def __init__(self, package: LoadedPackage) -> None:
        self._package = package
        self._known: dict[bytes, Tensors] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)

    def run(self, graph: str, inputs: Tensors) -> Tensors:
        """Run the graph, or return what the same input gave before."""
        key = hashlib.sha256(graph.encode() + b"".join(np.ascontiguousarray(inputs[name]) for name in sorted(inputs)))
        if key.digest() not in self._known:
            self._known[key.digest()] = self._package.run(graph, inputs)
        return self._known[key.digest()]


@cache
def package_of(kind: str) -> Remembering:
    """The committed demonstration package of a kind of study."""
    return Remembering(load_package(shipped(_FOLDERS[kind]), provider="cpu"))


def stored_instance(path: Path) -> Instance:
    """Describe a file as the ledger does."""
    attributes = read_attributes(path)
    return Instance(
        sop_instance_uid=str(attributes["SOPInstanceUID"]),
        sop_class_uid=str(attributes["SOPClassUID"]),
        study_instance_uid=str(attributes["StudyInstanceUID"]),
        series_instance_uid=str(attributes["SeriesInstanceUID"]),
        transfer_syntax_uid=str(attributes["TransferSyntaxUID"]),
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the node made of a study; `numbers` are the findings as figures that can be compared."""

    expected: Expected
    outcome: str
    codes: frozenset[str]
    flags: frozenset[str]
    numbers: Mapping[str, float]
    says: str


def answer_to(kind: str, paths: Sequence[Path]) -> Answer:
    """Select and run as the node does; an error of the input is an answer, too."""
    package, pipeline = package_of(kind), PIPELINES[PIPELINE_OF[kind]]
    try:
        selection = pipeline.select([stored_instance(path) for path in paths], package.acceptance)
        if isinstance(selection, Refusal):
            return _answer(Expected.REFUSED, "refused", selection.reasons)
        result = pipeline.run(selection, package, analysed_at=ANALYSED_AT)
    except InputError as error:
        return _answer(Expected.UNREADABLE, "unreadable", (), says=str(error))
    return _of_result(kind, result)


def _answer(expected: Expected, outcome: str, reasons: Sequence[Any], **more: Any) -> Answer:
    says = more.pop("says", "; ".join(reason.message for reason in reasons))
    codes = frozenset(reason.code for reason in reasons)
    return Answer(
        expected=expected, outcome=outcome, codes=codes, says=says, **{"flags": frozenset(), "numbers": {}, **more}
    )


def _of_result(kind: str, result: PipelineResult) -> Answer:
    kinds = {Outcome.NOT_ANALYSED: Expected.REFUSED, Outcome.PARTLY_ANALYSED: Expected.PARTLY}
    flags = frozenset(flag.code for flag in result.flags)
    expected = kinds.get(result.outcome, Expected.FLAGGED if flags else Expected.ALIKE)
    says = "; ".join([result.headline, *result.summary, *(reason.message for reason in result.refusals)])
    numbers = {} if expected is Expected.REFUSED else _NUMBERS[kind](result)
    return _answer(expected, result.outcome, result.refusals, flags=flags, numbers=numbers, says=says)


def _of_film(result: PipelineResult) -> dict[str, float]:
    """Steps of film and zones, five times the scores, and the area of the right lung in units of 50 cm2."""
    values = result.values
    steps = {name: float(values[name]) for name in values if name.endswith("expected_step")}
    scores = {f"5 x {name}": 5 * float(values[name]) for name in values if name.endswith("score")}
    return {**steps, **scores, "lung_cm2 / 50": values["right_lung_cm2"] / 50}


def _of_lungs(result: PipelineResult) -> dict[str, float]:
    """Percent of lung by pattern, and the area of the lungs over all slices in units of 100 cm2."""
    shares = {f"percent {name}": float(value) for name, value in result.values["percent"].items()}
    return {**shares, "lung_cm2 / 100": float(result.values["lung_cm2"]) / 100}


def _of_breasts(result: PipelineResult) -> dict[str, float]:
    """Scores, and how many marks are shown."""
    breasts = {f"breast {side}": float(score) for side, score in result.values["breasts"].items()}
    marks = sum(finding.presence is Presence.PRESENT for finding in result.findings)
    return {**breasts, "exam": float(result.values["exam"]), "marks": float(marks)}


_NUMBERS = {"radiograph": _of_film, "hrct": _of_lungs, "mammogram": _of_breasts}
TOLERANCE: Mapping[str, float] = {"radiograph": 0.5, "hrct": 3.0, "mammogram": 0.08}
"""Half a step of the 12-point scale (score 0.1, 25 cm2); 3 percent points (0.3 litres); a score of 0.08, no mark."""


def differences(kind: str, plain: Answer, other: Answer) -> list[str]:
    """Name every figure that differs by more than the tolerance, or is in one answer alone."""
    pairs = {name: (plain.numbers.get(name), other.numbers.get(name)) for name in {*plain.numbers, *other.numbers}}
    return [
        f"{name}: {before} became {after}"
        for name, (before, after) in sorted(pairs.items())
        if before is None or after is None or abs(before - after) > TOLERANCE[kind]
    ]
