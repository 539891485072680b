# SPDX-License-Identifier: Apache-2.0
"""The whole pipeline on phantom films with the demonstration package."""

from datetime import UTC, datetime

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import NORMAL, ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from service.domain.result import Outcome, PipelineResult, Presence, RunStatus
from service.domain.study import Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
PITCH_MM = 0.5
DISEASE = Disease(levels=dict.fromkeys(ZONES, 8), primary="q", secondary="q")


def analyse(instance, package) -> PipelineResult:
    selection = PIPELINE.select([instance], {**package.acceptance, "pixel_spacing_max_mm": 0.5})
    assert isinstance(selection, Selection), selection
    return PIPELINE.run(selection, package, analysed_at=NOW)


@pytest.fixture(scope="module")
def body():
    return anatomy(12, shape=(840, 760), pitch_mm=PITCH_MM)


@pytest.fixture(scope="module")
def diseased(body):
    return stored(radiograph(body, disease=DISEASE, seed=1))


@pytest.fixture(scope="module")
def write(tmp_path_factory, as_instance):
    folder = tmp_path_factory.mktemp("films")

    def write_film(name, pixels, **options):
        study = PhantomStudy(seed=name)
        return as_instance(write_dx(folder / f"{name}.dcm", pixels, study=study, pixel_spacing_mm=PITCH_MM, **options))

    return write_film


@pytest.fixture(scope="module")
def upright(write, diseased, package):
    return analyse(write("upright", diseased), package)


def test_disease_is_found_coded_and_boxed(upright, body):
    assert upright.outcome is Outcome.FINDINGS
    assert [finding.key for finding in upright.findings] == ["film", *(f"zone-{zone}" for zone in ZONES)]
    film = upright.findings[0]
    assert film.presence is Presence.PRESENT
    assert film.finding.value == "112126"
    answers = {(answer.name.value, answer.value.value) for answer in film.evaluations}
    assert answers & {("ILO-SHAPE-1", f"ILO-{shape}") for shape in "pqr"}
    assert answers & {("ILO-PROF-MAJOR", f"ILO-PROFC-{category}") for category in (1, 2, 3)}  # 0.2.0 reads low
    assert {value[-2:] for name, value in answers if name == "ILO-ZONE"} >= {"RM", "LM"}
    lungs = body.masks[0] | body.masks[1]
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert film.region.bounds == pytest.approx(expected, abs=40)


def test_texts_fit_and_do_not_offer_an_administrative_type(upright):
    assert len(upright.headline) <= 64
    assert all(len(finding.label) <= 64 for finding in upright.findings)
    said = " ".join([upright.headline, *upright.summary, *upright.heatmaps[0].lines])
    assert "PR" not in said
    assert upright.values["jpn_pr_candidate"] in {"PR1", "PR2", "PR3"}


def test_the_heatmap_is_upright_and_its_evidence_lies_in_the_lungs(upright, body):
    picture = upright.heatmaps[0]
    assert picture.base.shape == picture.overlay.shape == body.masks.shape[1:]
    assert picture.base.dtype == np.uint8
    assert picture.patient_orientation == ("L", "F")
    lungs, heart = body.masks[0] | body.masks[1], body.masks[2]
    assert np.median(picture.base[lungs]) < np.median(picture.base[heart])
    assert picture.overlay.max() > 0.5
    assert picture.overlay[lungs].sum() > 0.9 * picture.overlay.sum()
    assert upright.values["energy_in_lungs"] >= 0.8
    assert [mark.caption[:2] for mark in picture.marks] == list(ZONES)


def test_a_normal_film_has_no_findings(write, body, package):
    result = analyse(write("normal", stored(radiograph(body, disease=NORMAL, seed=2))), package)
    assert result.outcome is Outcome.NO_FINDINGS
    assert {finding.presence for finding in result.findings[:1]} == {Presence.ABSENT}
    assert {run.subject.value: run.status for run in result.runs} == dict.fromkeys(["112126", "112125"], "succeeded")
    assert result.triage is not None
    assert not result.triage.above_operating_point


def test_disease_raises_the_score_of_every_body(write, package):
    for seed in (22, 23, 24):
        other = anatomy(seed, shape=(840, 760), pitch_mm=PITCH_MM)
        scores = [
            analyse(
                write(f"{name}-{seed}", stored(radiograph(other, disease=disease, seed=seed))), package
            ).triage.score
            for name, disease in (("clear", NORMAL), ("dust", DISEASE))
        ]
        assert scores[1] > scores[0] + 0.3


def test_the_same_film_gives_the_same_result(write, diseased, package, upright):
    again = analyse(write("upright", diseased), package)
    assert again.findings == upright.findings
    assert again.values == upright.values
    assert np.array_equal(again.heatmaps[0].overlay, upright.heatmaps[0].overlay)


VARIANTS = {
    "inverted": (lambda film: film, {"photometric": "MONOCHROME1"}, lambda box, _: box),
    "mirrored": (
        lambda film: film[:, ::-1],
        {"patient_orientation": ("R", "F")},
        lambda box, shape: (shape[1] - box[2], box[1], shape[1] - box[0], box[3]),
    ),
    "upside_down": (
        lambda film: film[::-1, ::-1],
        {"patient_orientation": ("R", "H")},
        lambda box, shape: (shape[1] - box[2], shape[0] - box[3], shape[1] - box[0], shape[0] - box[1]),
    ),
    "lying": (
        lambda film: film.T,
        {"patient_orientation": ("F", "L")},
        lambda box, _: (box[1], box[0], box[3], box[2]),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_however_a_film_is_stored_the_boxes_lie_on_the_same_anatomy(name, write, diseased, package, upright):
    store, options, move = VARIANTS[name]
    result = analyse(write(name, np.ascontiguousarray(store(diseased)), **options), package)
    for finding, expected in zip(result.findings, upright.findings, strict=True):
        assert finding.evaluations == expected.evaluations
        assert finding.region.bounds == pytest.approx(move(expected.region.bounds, diseased.shape), abs=0.01)
    assert np.array_equal(result.heatmaps[0].base, upright.heatmaps[0].base)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("flat", lambda film: np.full_like(film, 2000)),
        ("noise", lambda film: np.random.default_rng(0).integers(0, 4095, film.shape).astype(np.uint16)),
        ("negative", lambda film: (4095 - film).astype(np.uint16)),
        (
            "one_lung",
            lambda film: np.where(np.arange(film.shape[1]) < film.shape[1] // 2, 3300, film).astype(np.uint16),
        ),
    ],
)
def test_what_is_no_chest_film_is_refused_with_reasons(name, spoil, write, diseased, package):
    result = analyse(write(name, spoil(diseased)), package)
    assert result.outcome is Outcome.NOT_ANALYSED
    assert result.refusals
    assert {run.status for run in result.runs} == {RunStatus.FAILED}
    assert {run.sop_instance_uids for run in result.runs} == {result.input_sop_instance_uids}
    assert result.findings == ()
    assert result.headline.startswith("Not analysed: ")
