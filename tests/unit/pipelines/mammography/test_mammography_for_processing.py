# SPDX-License-Identifier: Apache-2.0
"""For Processing views: refused, unless the package declares them; then shown as For Presentation ones look."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammography_instances import ACCEPTANCE, PROCESSING, BrightestSpot, from_file, mammogram
from scipy import ndimage

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.acquisition import random_scanner
from models.phantoms.mammogram.files import write_mg_exam
from service.dicom.pixels import read_image
from service.domain.conversion import PARAMETER, Conversion
from service.domain.result import Outcome, Presence
from service.domain.study import Refusal, Selection
from service.imaging.for_processing import log_equalised
from service.imaging.grayscale import to_presentation
from service.imaging.masks import breast_mask
from service.imaging.resample import resample_mm
from service.inference.package import default_packages_folder, load_package
from service.pipelines.mammography import MammographyPipeline
from service.pipelines.monitored import monitored
from service.settings import Settings

PIPELINE = MammographyPipeline()
RAW: dict[str, Any] = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}
BOTH: Mapping[str, Any] = {**ACCEPTANCE, "presentation_intents": ["FOR PRESENTATION", "FOR PROCESSING"]}
RAW_ALONE: Mapping[str, Any] = {**ACCEPTANCE, "presentation_intents": ["FOR PROCESSING"]}
MAMMOGRAMS = Settings().pipelines["mammography"]
PITCH_MM, NETWORK_MM = 0.2, 0.4


class Declaring:
    """A package as another, but one that declares For Processing images and how they are shown."""

    def __init__(self, package: Any) -> None:
        self._package = package
        self.acceptance = BOTH
        self.parameters = {**package.parameters, PARAMETER: Conversion.LOG_EQUALISED_1.value}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four views For Presentation and their raw siblings, on some scanner; a mass on the left."""
    folder = tmp_path_factory.mktemp("exam")
    scanner = random_scanner(np.random.default_rng(9))
    write_mg_exam(
        folder,
        study=PhantomStudy(seed="raw"),
        seed=9,
        mass_in="L",
        pitch_mm=PITCH_MM,
        scanner=scanner,
        for_processing=True,
    )
    return folder


def run(paths, package):
    selection = Selection(instances=tuple(from_file(path) for path in paths))
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


@pytest.mark.parametrize("view", ["l-cc", "l-mlo", "r-cc", "r-mlo"])
def test_a_converted_view_looks_like_the_one_for_presentation(exam, view):
    shown = to_presentation(read_image(exam / f"{view}.dcm"))
    raw = read_image(exam / f"{view}-raw.dcm")
    converted = log_equalised(raw)
    assert converted.dtype == np.float32
    assert (converted.min(), converted.max() <= 1) == (0, True)
    usual, mine = (resample_mm(grey, (PITCH_MM,) * 2, target_mm=NETWORK_MM)[0] for grey in (shown, converted))
    mask, own = breast_mask(usual), breast_mask(mine)
    assert 2 * (mask & own).sum() / (mask.sum() + own.sum()) > 0.97
    inner = ndimage.distance_transform_edt(mask) * NETWORK_MM > 5
    assert np.corrcoef(usual[mask], mine[mask])[0, 1] > 0.85
    assert np.corrcoef(usual[inner], mine[inner])[0, 1] > 0.85
    as_it_is = resample_mm(to_presentation(raw), (PITCH_MM,) * 2, target_mm=NETWORK_MM)[0]
    assert np.corrcoef(usual[mask], as_it_is[mask])[0, 1] < -0.5, "raw values are no picture"


def test_the_detector_marks_the_same_on_both_forms_of_an_exam(exam):
    demonstration = load_package(default_packages_folder() / MAMMOGRAMS.package / MAMMOGRAMS.version, provider="cpu")
    views = ("r-cc", "r-mlo", "l-cc", "l-mlo")
    usual = run([exam / f"{view}.dcm" for view in views], demonstration)
    raw = run([exam / f"{view}-raw.dcm" for view in views], Declaring(demonstration))
    assert usual.outcome is raw.outcome is Outcome.FINDINGS
    for mark in (finding for finding in usual.findings if finding.presence is Presence.PRESENT):
        near = [one for one in raw.findings if np.hypot(*np.subtract(one.center, mark.center)) * PITCH_MM < 4]
        assert mark.label.split(", score", maxsplit=1)[0] in {one.label.split(", score")[0] for one in near}
    assert raw.triage.score == pytest.approx(usual.triage.score, abs=0.1)
    assert {flag.code for flag in raw.flags} - {flag.code for flag in usual.flags} == {"for_processing"}
    assert [view["conversion"] for view in raw.values["views"]] == ["log-equalised-1"] * 4
    assert not any("conversion" in view for view in usual.values["views"])


def test_the_watch_measures_a_raw_view_as_it_was_shown(exam):
    views = [exam / f"{view}-raw.dcm" for view in ("l-cc", "l-mlo")]
    instances = [from_file(path) for path in views]
    raw = monitored(run(views, Declaring(BrightestSpot())), instances).numbers
    shown = [from_file(exam / f"{view}.dcm") for view in ("l-cc", "l-mlo")]
    usual = monitored(run([instance.path for instance in shown], BrightestSpot()), shown).numbers
    assert raw["level"] == pytest.approx(usual["level"], abs=0.25)
    assert raw["contrast"] == pytest.approx(usual["contrast"], rel=0.5)


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_relationship_and_sign_say_what_the_values_mean_and_nothing_else(exam, relationship, sign, photometric):
    raw = read_image(exam / "l-cc-raw.dcm")
    values = raw.pixels.astype(np.float64)
    if relationship == "LOG":
        values = 400 * np.log(np.maximum(values, 1))
    if sign < 0:
        values = 4095 - values
    other = replace(
        raw,
        pixels=np.rint(values).astype(np.uint16),
        intensity_relationship=relationship,
        intensity_sign=sign,
        photometric_interpretation=photometric,
    )
    inside = breast_mask(resample_mm(log_equalised(raw), (PITCH_MM,) * 2, target_mm=NETWORK_MM)[0])
    found = [resample_mm(log_equalised(one), (PITCH_MM,) * 2, target_mm=NETWORK_MM)[0][inside] for one in (raw, other)]
    assert np.corrcoef(*found)[0, 1] > 0.99


def test_padding_is_black_and_changes_nothing_else(exam):
    raw = read_image(exam / "l-cc-raw.dcm")
    pixels = raw.pixels.copy()
    pixels[:20] = 0
    padded = log_equalised(replace(raw, pixels=pixels, padding=(0, 0)))
    assert padded[:10].max() == 0
    assert np.abs(padded[30:] - log_equalised(raw)[30:]).mean() < 0.01


def test_an_empty_field_is_black(exam):
    raw = read_image(exam / "l-cc-raw.dcm")
    assert log_equalised(replace(raw, pixels=np.full_like(raw.pixels, 3000))).max() <= 1


def test_a_package_that_does_not_declare_them_refuses_raw_views():
    decision = PIPELINE.select([mammogram(sop_class=PROCESSING, **RAW)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert [reason.code for reason in decision.reasons] == ["presentation_intent"]


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_package_that_declares_them_takes_raw_views(relationship, sign):
    changes = {"PixelIntensityRelationship": relationship, "PixelIntensityRelationshipSign": sign}
    decision = PIPELINE.select([mammogram(sop_class=PROCESSING, **changes)], BOTH)
    assert isinstance(decision, Selection)
    assert decision.flags == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelIntensityRelationship": None},
        {"PixelIntensityRelationship": "DISP"},
        {"PixelIntensityRelationshipSign": None},
        {"PixelIntensityRelationshipSign": 0},
    ],
)
def test_raw_values_of_unknown_meaning_are_refused(changes):
    decision = PIPELINE.select([mammogram(sop_class=PROCESSING, **{**RAW, **changes})], BOTH)
    assert isinstance(decision, Refusal)
    assert [reason.code for reason in decision.reasons] == ["pixel_intensity"]


def test_of_two_forms_of_a_view_the_one_for_presentation_is_read():
    exam = [mammogram(), mammogram(sop_class=PROCESSING, **RAW), mammogram("R", sop_class=PROCESSING, **RAW)]
    decision = PIPELINE.select(exam, BOTH)
    assert isinstance(decision, Selection)
    assert [(one.text("ImageLaterality"), one.sop_class_uid == PROCESSING) for one in decision.instances] == [
        ("R", True),
        ("L", False),
    ]
    alone = PIPELINE.select(exam, RAW_ALONE)
    assert isinstance(alone, Selection)
    assert all(one.sop_class_uid == PROCESSING for one in alone.instances)
    assert len(alone.instances) == 2
    assert alone.flags == ()
