# SPDX-License-Identifier: Apache-2.0
"""The detector of distortions: trained on endless crops at 0.4 mm, measured on held-out phantoms, exported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from models.networks.distortion_detector import DISTORTION_STRIDE, DistortionDetector, DistortionDetectorGraph
from models.packaging import GraphSource
from models.phantoms.mammogram.breast import Kind
from models.recipes.mammography_data import SPACING_MM, Sample, draw_samples
from models.recipes.mammography_evaluation import KindMarks, kind_marks, run
from models.recipes.mammography_grounds import DISTORTIONS, Ground, draw_grounds, fresh_crops
from models.recipes.mammography_heat_maps import heat_map_source
from models.recipes.mammography_recipe import DistortionFit, MammographyRecipe
from models.recipes.mammography_targets import crops
from models.recipes.mammography_training import augmented, mark_loss
from models.training.fit import Places, fit
from models.training.random_source import RandomSource
from service.pipelines.mammography.kinds import DISTORTIONS as GRAPH

MEASURED: Mapping[Kind, float] = MappingProxyType({"distortion": 0.5, "mass": 0.4, "cluster": 0.1})
"""Lesions of the views that the detector is measured on: half of the masses have strands, and are none."""
MEASURED_COUNTS = (0.4, 0.4, 0.2)
_SEED = 24_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DistortionsMeasured:
    """Marks on phantoms that the fit has not seen: tuning for the threshold, others to tell."""

    tuning: KindMarks
    inside: KindMarks
    shifted: KindMarks


def settings_of(recipe: MammographyRecipe) -> DistortionFit:
    """Return the section `distortions`.

    Raises
    ------
    ValueError
        The recipe has none.
    """
    if recipe.distortions is None:
        raise ValueError("the recipe has no section distortions: add one, or make the package without that graph")
    return recipe.distortions


def make_detector(recipe: MammographyRecipe, *, places: Places) -> DistortionDetectorGraph:
    """Draw the tissue of the section's views and fit the detector."""
    settings = settings_of(recipe)
    grounds = draw_grounds(_SEED, settings.views, pitch_mm=SPACING_MM, least_px=settings.crop_px)
    return DistortionDetectorGraph(train_distortions(grounds, recipe, places=places)).eval()


def train_distortions(grounds: Sequence[Ground], recipe: MammographyRecipe, *, places: Places) -> DistortionDetector:
    """Fit the detector to crops of the grounds, every one with lesions and a scanner of its own."""
    settings = settings_of(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        detector = DistortionDetector()

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        chosen = [grounds[each % len(grounds)] for each in index.tolist()]
        batch = fresh_crops(
            chosen,
            random.numpy,
            size=settings.crop_px,
            stride=DISTORTION_STRIDE,
            shift=recipe.data.scanner_spread,
            contents=DISTORTIONS,
        )
        return mark_loss(detector(augmented(batch.image, settings.scanner_shift, generator=random.torch)), batch)

    fit(
        detector,
        loss_of,
        name=GRAPH,
        count=len(grounds) * settings.crops_per_view,
        settings=settings.marks,
        seed=recipe.seed,
        places=places,
    )
    return detector


def measure_distortions(graph: DistortionDetectorGraph, recipe: MammographyRecipe) -> DistortionsMeasured:
    """Measure the detector on phantoms that no fit draws; half of those for the threshold are on shifted scanners."""
    settings, spread = settings_of(recipe), recipe.held_out.scanner_spread
    exams, half = settings.held_out, settings.held_out // 2

    def drawn(first_seed: int, count: int, shift: float) -> list[Sample]:
        return draw_samples(first_seed, count, shift=shift, shares=MEASURED, counts=MEASURED_COUNTS)

    return DistortionsMeasured(
        tuning=_marks(graph, [*drawn(97_000, exams - half, 1.0), *drawn(97_500, half, spread)]),
        inside=_marks(graph, drawn(98_000, exams, 1.0)),
        shifted=_marks(graph, drawn(99_000, exams, spread)),
    )


def _marks(graph: DistortionDetectorGraph, samples: Sequence[Sample]) -> KindMarks:
    rows = [run(graph, sample)[3][0] for sample in samples]
    return kind_marks([each[each[:, 4] > 0] for each in rows], [sample.distortions for sample in samples])


def source(graph: DistortionDetectorGraph, folder: Path) -> GraphSource:
    """Export the graph with free height and width; golden inputs are windows of phantoms, around distortions."""
    samples = draw_samples(93_200, 6, shares={"distortion": 1.0}, counts=(0.0, 1.0))[::8]
    views = [_Strands(sample) for sample in samples]
    windows = crops(views, np.random.default_rng(20260), size=192, stride=DISTORTION_STRIDE).image.numpy()
    return heat_map_source(
        graph,
        folder / f"{GRAPH}.onnx",
        windows,
        heat="chance of a distortion's centre in each 8-pixel cell",
        marks="x0, y0, x1, y1 in canvas pixels, score, 0",
    )


class _Strands:
    """A view whose targets are its distortions."""

    def __init__(self, sample: Sample) -> None:
        self.image = sample.image
        self.targets = np.array([(*each, 0) for each in sample.distortions], dtype=np.float64).reshape(-1, 4)
