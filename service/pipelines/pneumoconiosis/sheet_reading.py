# SPDX-License-Identifier: Apache-2.0
"""Runs what the sheet needs beyond the zone reading, and fills the sheet in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.pipelines.pneumoconiosis.contributions import SMOOTHED_MM, Contributions, contributions
from service.pipelines.pneumoconiosis.heart import cardiothoracic_ratio
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs, ZoneCrop
from service.pipelines.pneumoconiosis.optional_heads import LARGE, read_large_opacities, read_pleura, why_off
from service.pipelines.pneumoconiosis.reading import FilmReading, zone_scores
from service.pipelines.pneumoconiosis.sheet import FilmQuality, IloSheet, fill_in
from service.ports import Package

_MEASURED = ("pixel_spacing_mm", "grey_range", "saturated_share", "lung_darkness", "lung_at_edge_mm")


def read_sheet(
    film: Film,
    lungs: Lungs,
    crops: Sequence[ZoneCrop],
    reading: FilmReading,
    *,
    values: Mapping[str, Any],
    package: Package,
) -> IloSheet:
    """Return the sheet of a film.

    Parameters
    ----------
    values
        What the gates measured.
    """
    measured = {name: float(values[name]) for name in _MEASURED}
    return fill_in(
        reading,
        zone_contributions(crops, reading, package, pixel_mm=film.pixel_mm),
        quality=FilmQuality(cardiothoracic_ratio=cardiothoracic_ratio(lungs), **measured),
        large=read_large_opacities(film, lungs, package),
        pleura=read_pleura(film, lungs, package),
        large_unread=why_off(package.parameters.get(LARGE)),
    )


def zone_contributions(
    crops: Sequence[ZoneCrop], reading: FilmReading, package: Package, *, pixel_mm: float
) -> Contributions:
    """Return what each zone adds to the film's score; one more pass of the zones graph, over the smoothed crops."""

    def read_scores(tensors: FloatImage) -> NDArray[np.float64]:
        return zone_scores(package.run("zones", {"zones": tensors})["profusion_logits"])

    sigma_mm = float(package.parameters.get("contribution_smoothing_mm", SMOOTHED_MM))
    scores = [zone.score for zone in reading.zones]
    return contributions(crops, scores, read_scores=read_scores, sigma_px=sigma_mm / pixel_mm)
