# SPDX-License-Identifier: Apache-2.0
"""What is kept of a study: from real phantom files, without anything that could name a patient, and never an error."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.studies import result_of
from models.phantoms.computed_tomography import ChestPhantom
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy
from service.dicom.header import read_attributes
from service.dicom.keywords import LEDGER_KEYWORDS
from service.domain.drift import Monitored, kind_of
from service.domain.instance import Instance
from service.domain.result import Outcome, Triage
from service.pipelines.monitored import monitored, plain

MARKER = "YAMADA"
SCORE = Triage(score=0.25, operating_point="triage", threshold=0.5, above_operating_point=False)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Instance, ...]:
    folder = tmp_path_factory.mktemp("ct")
    changes = {"ConvolutionKernel": "B70f", "Manufacturer": "ACME Medical, Inc.", "StationName": MARKER}
    phantom = ChestPhantom(seed=3, slices=3, matrix=160, pixel_mm=2.2)
    paths = write_ct_series(folder, phantom, study=PhantomStudy(seed=MARKER, patient_name=MARKER), changes=changes)
    return tuple(instance(path) for path in paths)


def instance(path: Path, **changes: Any) -> Instance:
    attributes = {**read_attributes(path, LEDGER_KEYWORDS), **changes}
    return Instance(
        sop_instance_uid=str(attributes["SOPInstanceUID"]),
        sop_class_uid=str(attributes["SOPClassUID"]),
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        transfer_syntax_uid="",
        path=path,
        sha256="",
        size_bytes=1,
        attributes=attributes,
    )


def kept(slices: tuple[Instance, ...], outcome: Outcome = Outcome.NO_FINDINGS, **changes: Any) -> Monitored:
    import dataclasses

    result = result_of("CT", slices, outcome)
    return monitored(dataclasses.replace(result, **{"triage": SCORE, **changes}), slices)


def test_a_study_is_numbers_and_words_of_known_channels(slices: tuple[Instance, ...]) -> None:
    values = {"lung_certainty": 0.9, "patterns_distance_deep": 4.0, "spacing_mm": 48.0, "other": 1.0, "score": 7.0}
    found = kept(slices, values=values)
    assert found.words == {"manufacturer": "acme medical inc", "kernel": "b70f", "outcome": "no_findings"}
    assert found.numbers["spacing_mm"] == 2.2  # the pixel's, not the record's
    assert (found.numbers["score"], found.numbers["lung_certainty"]) == (0.25, 0.9)
    assert found.numbers["patterns_distance_deep"] == 4.0
    assert {"level", "contrast", "noise", "fineness", "kvp", "bits_stored"} <= set(found.numbers)
    assert "other" not in found.numbers
    for name in (*found.numbers, *found.words):
        kind_of(name)


def test_views_of_an_exam_count_by_their_mean(slices: tuple[Instance, ...]) -> None:
    views = [{"score": 0.9, "detector_distance_deep": 2.0}, {"score": 0.1, "detector_distance_deep": 4.0}, "odd"]
    found = kept(slices, values={"views": views})
    assert (found.numbers["detector_distance_deep"], found.numbers["score"]) == (3.0, 0.25)


def test_no_patient_is_in_it(slices: tuple[Instance, ...]) -> None:
    assert MARKER not in json.dumps(asdict(kept(slices))).upper()


def test_a_study_that_was_not_analysed_is_not_decoded(slices: tuple[Instance, ...]) -> None:
    found = kept(slices, Outcome.NOT_ANALYSED, triage=None)
    assert found.words["outcome"] == "not_analysed"
    assert not {"score", "level"} & set(found.numbers)


def test_what_cannot_be_measured_is_absent(slices: tuple[Instance, ...], tmp_path: Path) -> None:
    gone = tuple(instance(item.path, Manufacturer=None, KVP="abc") for item in slices)
    for item in gone:
        object.__setattr__(item, "path", tmp_path / "gone.dcm")
    found = kept(gone, values={"lung_certainty": float("nan"), "indeterminate_share": True})
    assert set(found.numbers) == {"spacing_mm", "bits_stored", "score"}
    assert found.manufacturer == ""


@pytest.mark.parametrize(
    ("text", "word"),
    [("ACME Medical", "acme medical"), ("  ", ""), ("東芝 X-1", "x 1"), ("A" * 99, "a" * 32), ("a\n<b>", "a b")],
)
def test_words_are_plain_and_short(text: str, word: str) -> None:
    assert plain(text) == word
