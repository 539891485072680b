# SPDX-License-Identifier: Apache-2.0
"""Headers lie: what the pixels say of how a film lies, and of what is no chest film."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.lateral import lateral_film
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from models.phantoms.variants import other_parts
from service.domain.result import Outcome, PipelineResult
from service.domain.study import Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline, view_check
from service.results.words.japanese import REASONS

NOW = datetime(2026, 4, 1, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
SHAPE, PITCH_MM = (840, 760), 0.5
SEEDS = (12, 22, 24)
DUST = Disease(levels=dict.fromkeys(ZONES, 6), primary="q", secondary="q")
WRONGS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "half turn": (lambda film: film[::-1, ::-1], "upside_down"),
    "upside down and mirrored": (lambda film: film[::-1], "upside_down"),
    "quarter turn": (np.rot90, "on_its_side"),
    "quarter turn back": (lambda film: np.rot90(film, 3), "on_its_side"),
    "quarter turn and mirrored": (lambda film: film.T, "on_its_side"),
    "inverted": (lambda film: 4095 - film, "polarity"),
}
VIEW_CODES = {code for code, _ in view_check.SAID.values()} | {view_check.NO_CHEST.code}


@pytest.fixture(scope="module")
def films():
    return {
        seed: stored(radiograph(anatomy(seed, shape=SHAPE, pitch_mm=PITCH_MM), disease=DUST, seed=seed))
        for seed in SEEDS
    }


@pytest.fixture
def analyse(tmp_path, as_instance, package):
    def run(pixels: np.ndarray, **options: object) -> PipelineResult:
        study = PhantomStudy(seed="view")
        picture = np.ascontiguousarray(pixels).astype(np.uint16)
        path = write_dx(tmp_path / "film.dcm", picture, study=study, pixel_spacing_mm=PITCH_MM, **options)
        selection = PIPELINE.select([as_instance(path)], {**package.acceptance, "pixel_spacing_max_mm": 0.5})
        assert isinstance(selection, Selection), selection
        return PIPELINE.run(selection, package, analysed_at=NOW)

    return run


def codes(result: PipelineResult) -> set[str]:
    return {reason.code for reason in (*result.refusals, *result.flags)}


@pytest.mark.parametrize("seed", SEEDS)
def test_an_upright_film_passes_without_a_word(seed, films, analyse):
    result = analyse(films[seed])
    assert result.outcome is not Outcome.NOT_ANALYSED
    assert not codes(result) & VIEW_CODES
    assert result.values["sureness"] > max(result.values[f"sureness_{name}"] for name in view_check.OF_ACCEPTED)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONGS)
def test_each_way_of_lying_has_its_code(name, seed, films, analyse):
    change, code = WRONGS[name]
    result = analyse(change(films[seed]))
    assert result.outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in result.refusals] == [code]


@pytest.mark.parametrize("seed", [22, 24])  # of 12 the heart lies in the middle, and the network is as sure of either
def test_a_mirrored_film_is_read_and_flagged(seed, films, analyse):
    result = analyse(films[seed][:, ::-1])
    assert result.outcome is not Outcome.NOT_ANALYSED
    assert codes(result) & {"mirrored", "heart_side"}


def test_what_the_header_says_is_no_lie(films, analyse):
    for options in ({"photometric": "MONOCHROME1"}, {}):
        assert not codes(analyse(films[12], **options)) & VIEW_CODES
    turned = analyse(films[12][::-1, ::-1], patient_orientation=("R", "H"))
    assert not codes(turned) & VIEW_CODES


NO_CHESTS = {
    "lateral": lambda: lateral_film(13, shape=SHAPE, pitch_mm=PITCH_MM),
    "abdomen": lambda: other_parts.abdomen(1, shape=SHAPE, pitch_mm=PITCH_MM),
    "hand": lambda: other_parts.hand(1, shape=SHAPE, pitch_mm=PITCH_MM),
    "teeth": lambda: other_parts.teeth(1, shape=SHAPE, pitch_mm=PITCH_MM),
    "noise": lambda: np.random.default_rng(0).random(SHAPE),
}


@pytest.mark.parametrize("name", NO_CHESTS)
def test_what_is_no_frontal_chest_is_refused_as_such(name, analyse):
    result = analyse(np.rint(NO_CHESTS[name]() * 4095))
    assert result.outcome is Outcome.NOT_ANALYSED
    assert result.refusals[0].code == "no_frontal_chest"
    assert len(result.refusals) > 1, "the measures that failed are named, too"


def test_half_a_chest_is_no_chest(films, analyse):
    film = films[12]
    half = np.where(np.arange(film.shape[1]) < film.shape[1] // 2, 3300, film)
    result = analyse(half)
    assert result.outcome is Outcome.NOT_ANALYSED
    assert codes(result) & {"no_frontal_chest", "lung_area", "lung_ratio", "heart_certainty", "out_of_distribution"}


def test_a_chest_without_its_bases_is_flagged(films, analyse):
    film = films[22]
    result = analyse(film[: round(0.6 * film.shape[0])])
    assert codes(result) & {"lung_cut_off", "lung_area", "heart_certainty"}


def test_every_code_has_its_words_in_japanese():
    assert VIEW_CODES - REASONS.keys() == set()
    assert len(VIEW_CODES) == 5
