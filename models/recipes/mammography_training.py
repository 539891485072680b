# SPDX-License-Identifier: Apache-2.0
"""Trains the mass detector in two steps: marks on crops, then the image score on whole views."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.mass_detector import MassDetector
from models.recipes.mammography_data import Batch, Sample, crops
from models.recipes.mammography_recipe import Fit, MammographyRecipe
from models.training.augmentation import shift_scanner
from models.training.fit import Places, fit
from models.training.random_source import RandomSource
from models.training.scanner_shift_settings import ScannerShift


def train(
    fitted: Sequence[Sample], validation: Sequence[Sample], recipe: MammographyRecipe, *, places: Places
) -> MassDetector:
    """Train; the same recipe gives the same weights on one machine. Validation views, if any, are only measured."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        detector = MassDetector(recipe.network.width)
    _train_marks(detector, fitted, validation, recipe=recipe, places=places)
    _train_score(detector, fitted, recipe=recipe, places=places)
    return detector


def _train_marks(
    detector: MassDetector,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    recipe: MammographyRecipe,
    places: Places,
) -> None:
    """Fit the heat map and the boxes on crops (focal loss of Law 2018, as in CenterNet)."""

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        batch = crops([samples[each] for each in index.tolist()], random.numpy, size=recipe.fit.crop_px)
        image = augmented(batch.image, recipe.augmentation.scanner_shift, generator=random.torch)
        return _mark_loss(detector, batch, image)

    fit(
        detector,
        loss_of,
        name="marks",
        count=len(samples),
        settings=recipe.fit.marks,
        seed=recipe.seed,
        measure=_validation_loss(detector, validation, recipe.fit) if validation else None,
        places=places,
    )


def _validation_loss(
    detector: MassDetector, samples: Sequence[Sample], settings: Fit
) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        batch = crops(samples, np.random.default_rng(0), size=settings.crop_px)
        return {"validation_loss": float(_mark_loss(detector, batch, batch.image))}

    return measure


def augmented(image: Tensor, settings: ScannerShift | None, *, generator: torch.Generator) -> Tensor:
    """Return crops or views (N, 2, H, W) as other scanners would show them; the mask stays, and what is outside it."""
    if settings is None:
        return image
    grey, mask = image[:, :1], image[:, 1:]
    return torch.cat([shift_scanner(grey, settings, generator=generator) * mask, mask], dim=1)


def _mark_loss(detector: MassDetector, batch: Batch, image: Tensor) -> Tensor:
    logits, offset, log_size = detector.marks(detector.encode(image))
    masses = batch.weight.sum().clamp(min=1)
    box = (batch.weight * ((offset - batch.offset).abs() + 0.5 * (log_size - batch.log_size).abs())).sum()
    return (_focal(logits, batch.heat).sum() + box) / masses


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    score = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    at_peak = -((1 - score) ** 2) * score.log()
    elsewhere = -((1 - heat) ** 4) * score**2 * (1 - score).log()
    return torch.where(heat > 0.999, at_peak, elsewhere)


def _train_score(
    detector: MassDetector, samples: Sequence[Sample], *, recipe: MammographyRecipe, places: Places
) -> None:
    """Fit the image score and its map on features of whole views; everything else stays as it is."""
    copies = [recipe.augmentation.scanner_shift if copy else None for copy in range(recipe.fit.copies)]
    generator = torch.Generator().manual_seed(recipe.seed)
    features = torch.cat([attended_features(detector, samples, each, generator=generator) for each in copies])
    target = torch.tensor([float(bool(sample.masses)) for sample in samples]).repeat(len(copies))

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:  # noqa: ARG001
        logit = detector.image_score(features[index].float())[0][:, 0]
        return functional.binary_cross_entropy_with_logits(logit, target[index])

    fit(
        nn.ModuleList([detector.score, detector.cam]),
        loss_of,
        name="score",
        count=len(target),
        settings=recipe.fit.score,
        seed=recipe.seed,
        places=places,
    )


@torch.no_grad()
def attended_features(
    detector: MassDetector, samples: Sequence[Sample], settings: ScannerShift | None, *, generator: torch.Generator
) -> Tensor:
    """Return the frozen features (n, C, h, w) that the image score is computed from, as float16."""
    detector.eval()
    images = (torch.from_numpy(sample.image.astype(np.float32))[None] for sample in samples)
    shown = (augmented(image, settings, generator=generator) for image in images)
    return torch.cat([detector.attended(detector.encode(image)).half() for image in shown])
