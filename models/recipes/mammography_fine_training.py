# SPDX-License-Identifier: Apache-2.0
"""Trains the graphs at 0.1 mm: the detector of clusters on crops, then the second look on patches around marks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.networks.cluster_detector import CLUSTER_STRIDE, ClusterDetector, ClusterDetectorGraph
from models.networks.second_look import SecondLook
from models.recipes.mammography_fine import FineSample
from models.recipes.mammography_grounds import Ground, fresh_crops
from models.recipes.mammography_recipe import FineFit, MammographyRecipe, SecondLookFit
from models.recipes.mammography_training import augmented, mark_loss
from models.training.augmentation import shift_scanner
from models.training.fit import FitError, Places, fit
from models.training.random_source import RandomSource
from service.pipelines.mammography.fine import patch_around


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class MarkedPatches:
    """Patches (n, 1, size, size) float16 around marks, the detector's scores, and whether each lies in a lesion."""

    patches: NDArray[np.float16]
    scores: NDArray[np.float64]
    truth: NDArray[np.bool_]


def train_clusters(grounds: Sequence[Ground], recipe: MammographyRecipe, *, places: Places) -> ClusterDetector:
    """Fit the detector of clusters to crops of the grounds, every one with calcifications and a scanner of its own."""
    settings = fine_settings(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        detector = ClusterDetector()

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        chosen = [grounds[each % len(grounds)] for each in index.tolist()]
        spread = recipe.data.scanner_spread
        batch = fresh_crops(chosen, random.numpy, size=settings.crop_px, stride=CLUSTER_STRIDE, shift=spread)
        image = augmented(batch.image, settings.scanner_shift, generator=random.torch)
        return mark_loss(detector(image), batch)

    fit(
        detector,
        loss_of,
        name="clusters",
        count=len(grounds) * settings.crops_per_view,
        settings=settings.clusters,
        seed=recipe.seed,
        places=places,
    )
    return detector


def train_second_look(marked: MarkedPatches, recipe: MammographyRecipe, *, places: Places) -> SecondLook:
    """Fit the second look to patches around marks: is it a lesion, or a benign mark or tissue?

    Raises
    ------
    FitError
        All marks are of one sort.
    """
    lesions, others = int(marked.truth.sum()), int((~marked.truth).sum())
    if not lesions or not others:
        raise FitError(
            f"second-look: the detectors mark {lesions} lesions and {others} other places on the phantoms of section "
            "fine, and both are needed; draw more exams, or train the detectors longer"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = SecondLook()
    target = torch.from_numpy(marked.truth.astype(np.float32))
    weight = torch.tensor(others / lesions)

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        patches = torch.from_numpy(marked.patches[index.numpy()].astype(np.float32))
        if recipe.augmentation.scanner_shift is not None:
            patches = shift_scanner(patches, recipe.augmentation.scanner_shift, generator=random.torch)
        patches = patches.flip(2) if random.numpy.random() < 0.5 else patches
        logit, _ = network(patches)
        return functional.binary_cross_entropy_with_logits(logit, target[index], pos_weight=weight)

    fit(
        network,
        loss_of,
        name="second-look",
        count=len(target),
        settings=look_settings(fine_settings(recipe)).fit,
        seed=recipe.seed,
        places=places,
    )
    return network


def cluster_marks(clusters: ClusterDetectorGraph, sample: FineSample) -> NDArray[np.float32]:
    """Return the marks of clusters on a view, (n, 6), in pixels at 0.1 mm."""
    with torch.no_grad():
        found: NDArray[np.float32] = clusters(torch.from_numpy(sample.image.astype(np.float32))[None])[3][0].numpy()
    return found[found[:, 4] > 0]


def _coarse_marks(detector: nn.Module, sample: FineSample) -> NDArray[np.float32]:
    with torch.no_grad():
        found = detector(torch.from_numpy(sample.sample.image.astype(np.float32))[None])[3][0].numpy()
    return np.asarray(found[found[:, 4] > 0], dtype=np.float32)


def marked_patches(
    detector: nn.Module, clusters: ClusterDetectorGraph, samples: Sequence[FineSample], settings: SecondLookFit
) -> MarkedPatches:
    """Cut the patches that the node would cut: around the highest marks of both detectors on each view."""
    patches: list[NDArray[np.float16]] = []
    scores: list[float] = []
    truth: list[bool] = []
    for sample in samples:
        coarse, fine = _coarse_marks(detector, sample), cluster_marks(clusters, sample)
        places = [(*sample.from_canvas.apply(_centre(row)), float(row[4])) for row in coarse]
        places += [(*_centre(row), float(row[4])) for row in fine]
        for x, y, score in sorted(places, key=lambda each: -each[2])[: settings.marks]:
            patches.append(patch_around(sample.image[0], (x, y), size=settings.patch_px))
            scores.append(score)
            truth.append(any(np.hypot(x - column, y - row) <= radius for column, row, radius in sample.lesions))
    size = settings.patch_px
    return MarkedPatches(
        patches=np.array(patches, dtype=np.float16).reshape(-1, 1, size, size),
        scores=np.array(scores),
        truth=np.array(truth, dtype=np.bool_),
    )


def _centre(row: NDArray[np.float32]) -> tuple[float, float]:
    return float(row[0] + row[2]) / 2, float(row[1] + row[3]) / 2


def fine_settings(recipe: MammographyRecipe) -> FineFit:
    """Return the section `fine`.

    Raises
    ------
    ValueError
        The recipe has none.
    """
    if recipe.fine is None:
        raise ValueError("the recipe has no section fine: add one, or make the package without finer graphs")
    return recipe.fine


def look_settings(settings: FineFit) -> SecondLookFit:
    """Return the section `fine.second_look`.

    Raises
    ------
    ValueError
        The recipe has none.
    """
    if settings.second_look is None:
        raise ValueError("the recipe has no section fine.second_look: add one, or do not train a second look")
    return settings.second_look
