# SPDX-License-Identifier: Apache-2.0
"""Exact Shapley values of the six lung zones for a film's score, with the committed package."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the phantoms' tensors need the optional extra `train`")

from harness.shipped import shipped
from models.recipes.pneumoconiosis_data import zone_set
from service.imaging.shapley import in_mask_low_pass, shapley_values
from service.inference.package import load_package
from service.pipelines.pneumoconiosis.reading import read_film, read_zone

NAMES = ("RU", "RM", "RL", "LU", "LM", "LL")


@pytest.fixture(scope="module")
def film_score() -> Any:
    """A function of coalitions of zones. Each zone is read on its own, so that twelve readings serve all 64."""
    package = load_package(shipped("pneumoconiosis-demo"), provider="cpu")
    drawn = zone_set(31, bodies=1, exposures=1, shifted=None)
    zones = drawn.tensors.float().numpy()
    blurred = zones.copy()
    for zone in blurred:
        zone[0] = in_mask_low_pass(zone[0], zone[1] > 0.5, sigma_px=8)
    read = [package.run("zones", {"zones": each}) for each in (blurred, zones)]

    def score(coalitions: Any) -> Any:
        return np.array([_film([read[int(there)] for there in present]) for present in coalitions])

    return score


def _film(read: list[Any]) -> float:
    zones = [
        read_zone(name, outputs["profusion_logits"][zone], outputs["shape_logits"][zone], area_cm2=50.0)
        for zone, (name, outputs) in enumerate(zip(NAMES, read, strict=True))
    ]
    return float(read_film(zones).score)


def test_six_zones_add_up_to_the_films_score(film_score: Any) -> None:
    found = shapley_values(film_score, len(NAMES))
    everybody, nobody = np.ones((1, 6), dtype=bool), np.zeros((1, 6), dtype=bool)
    direct = float(film_score(everybody)[0] - film_score(nobody)[0])
    assert found.residual < 1e-9
    assert found.values.sum() == pytest.approx(direct, abs=1e-9)
    assert abs(found.values).max() > 1e-3
