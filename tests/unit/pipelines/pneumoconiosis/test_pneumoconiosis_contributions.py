# SPDX-License-Identifier: Apache-2.0
"""Zone contributions: twelve readings give what all 64 pictures give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from models.phantoms.chest_radiograph.film import anatomy, radiograph
from models.phantoms.chest_radiograph.opacities import Disease
from service.domain.image import IDENTITY
from service.imaging.shapley import shapley_values
from service.pipelines.pneumoconiosis.contributions import as_values, contributions, smoothed_crop
from service.pipelines.pneumoconiosis.lungs import ZONES, Film, Lungs, ZoneCrop, zone_crops
from service.pipelines.pneumoconiosis.reading import film_score, zone_scores

SIGMA_PX = 20.0
shares = st.lists(st.floats(0, 1), min_size=6, max_size=6)


@pytest.fixture(scope="module")
def crops() -> tuple[ZoneCrop, ...]:
    body = anatomy(31, shape=(840, 760), pitch_mm=0.5)
    picture = radiograph(body, disease=Disease(levels={"RU": 9, "LM": 6}, primary="q", secondary="q"), seed=3)
    film = Film(pixels=picture.pixels, pixel_mm=0.5, to_source=IDENTITY)
    return tuple(zone_crops(film, Lungs(right=body.masks[0], left=body.masks[1], heart=body.masks[2]), size=288))


def reader(package):
    return lambda tensors: zone_scores(package.run("zones", {"zones": tensors})["profusion_logits"])


def test_twelve_readings_give_the_values_of_all_64_films(crops, package):
    read = reader(package)
    whole = np.stack([crop.tensor for crop in crops])
    smooth = np.stack([smoothed_crop(crop.tensor, sigma_px=SIGMA_PX) for crop in crops])

    def by_films(coalitions):
        chosen = (np.where(present[:, None, None, None], whole, smooth) for present in coalitions)
        return np.array([film_score(read(film)) for film in chosen])

    direct = shapley_values(by_films, len(ZONES))
    found = contributions(crops, read(whole), read_scores=read, sigma_px=SIGMA_PX)
    assert list(found.by_zone) == list(ZONES)
    assert [found.by_zone[name] for name in ZONES] == pytest.approx(direct.values, abs=1e-6)
    assert found.score == pytest.approx(film_score(read(whole)), abs=1e-12)
    assert max(found.by_zone, key=found.by_zone.__getitem__) == "RU"


def test_smoothing_stays_inside_the_zone_and_keeps_the_mask(crops):
    for crop in crops[:2]:
        smooth = smoothed_crop(crop.tensor, sigma_px=SIGMA_PX)
        inside = crop.tensor[1] > 0.5
        assert np.array_equal(smooth[1], crop.tensor[1])
        assert np.array_equal(smooth[0][~inside], crop.tensor[0][~inside])
        assert smooth[0][inside].mean() == pytest.approx(crop.tensor[0][inside].mean(), abs=0.02)
        deep = ndimage.binary_erosion(inside, iterations=3)[:, 1:]
        fine, left = (np.abs(np.diff(picture, axis=1))[deep].mean() for picture in (crop.tensor[0], smooth[0]))
        assert left < 0.1 * fine


@given(there=shares, gone=shares)
def test_they_add_up_to_the_difference_and_say_by_how_much_not(there, gone):
    found = of_scores(there, gone)
    assert sum(found.by_zone.values()) == pytest.approx(film_score(there) - film_score(gone), abs=1e-9)
    assert found.residual < 1e-9
    assert (found.score, found.baseline) == (film_score(there), film_score(gone))


@given(there=shares, gone=shares, zone=st.integers(0, 5))
def test_a_zone_that_changes_nothing_contributes_nothing(there, gone, zone):
    gone[zone] = there[zone]
    assert of_scores(there, gone).by_zone[ZONES[zone]] == pytest.approx(0, abs=1e-12)


def of_scores(there: list[float], gone: list[float]):
    blank = np.ones((2, 4, 4), dtype=np.float32)
    crops = [
        ZoneCrop(name=name, tensor=blank, to_film=IDENTITY, box=(0, 0, 4, 4), mask=np.ones((4, 4), dtype=np.bool_))
        for name in ZONES
    ]
    return contributions(crops, there, read_scores=lambda _: np.array(gone), sigma_px=1.0)


def test_the_record_holds_every_share_and_the_residual():
    values = as_values(of_scores([0.9, 0.1, 0.1, 0.8, 0.1, 0.1], [0.1] * 6))
    assert values["zone_RU_contribution"] == pytest.approx(0.4)
    assert values["zone_LU_contribution"] == pytest.approx(0.35)
    assert values["contribution_baseline"] == pytest.approx(0.1)
    assert values["contribution_residual"] < 1e-9
    assert len(values) == 8
