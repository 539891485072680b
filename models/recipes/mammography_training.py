# SPDX-License-Identifier: Apache-2.0
"""Trains the members of the detector in two steps each: marks on crops, then the image score on whole views."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.mass_detector import HEAT_STRIDE, MassDetector
from models.recipes.mammography_data import MARKED, Sample
from models.recipes.mammography_recipe import Fit, MammographyRecipe
from models.recipes.mammography_start import read_start, start_from
from models.recipes.mammography_targets import Batch, Picture, crops
from models.training.augmentation import shift_scanner
from models.training.fit import Places, fit
from models.training.random_source import RandomSource
from models.training.scanner_shift_settings import ScannerShift

_VIEWS_AT_START = 16
"""Views that the normalisations of a detector with given first weights take their statistics from."""


def train(
    fitted: Sequence[Sample], validation: Sequence[Sample], recipe: MammographyRecipe, *, places: Places
) -> tuple[MassDetector, ...]:
    """Train the members; the same recipe gives the same weights on one machine.

    A recipe without `fit` has its start as the one member, as it is.

    Members differ in their first weights and in the order and change of crops, by a seed of their own. Validation
    views, if any, are only measured.
    """
    if recipe.fit is None:
        return (kept_detector(recipe),)
    return tuple(
        train_member(fitted, validation, recipe, member=member, places=places)
        for member in range(recipe.network.members)
    )


def kept_detector(recipe: MammographyRecipe) -> MassDetector:
    """Return the detector of a recipe without a fit: its start, to the last bit."""
    assert recipe.network.start is not None  # noqa: S101 - the recipe was refused otherwise
    detector = MassDetector(recipe.network.width, classes=len(MARKED))
    start_from(detector, read_start(Path(__file__).with_name(recipe.network.start)), ())
    return detector.eval()


def train_member(
    fitted: Sequence[Sample],
    validation: Sequence[Sample],
    recipe: MammographyRecipe,
    *,
    member: int,
    places: Places,
) -> MassDetector:
    """Train one member, counted from 0; its checkpoints are `marks` and `score`, with a number from the second on."""
    own = recipe.model_copy(update={"seed": recipe.seed + member})
    suffix = f"-{member + 1}" if member else ""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own.seed)
        detector = MassDetector(recipe.network.width, classes=len(MARKED))
    if recipe.network.start is not None:
        views = (torch.from_numpy(sample.image.astype(np.float32))[None] for sample in fitted[:_VIEWS_AT_START])
        start_from(detector, read_start(Path(__file__).with_name(recipe.network.start)), views)
    settings = fit_settings(recipe)
    _train_marks(detector, fitted, validation, recipe=own, settings=settings, name=f"marks{suffix}", places=places)
    _train_score(detector, fitted, recipe=own, settings=settings, name=f"score{suffix}", places=places)
    return detector


def fit_settings(recipe: MammographyRecipe) -> Fit:
    """Return the section `fit`.

    Raises
    ------
    ValueError
        The recipe has none.
    """
    if recipe.fit is None:
        raise ValueError("the recipe has no section fit: add one, or take its detector as it starts (kept_detector)")
    return recipe.fit


def _train_marks(
    detector: MassDetector,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    recipe: MammographyRecipe,
    settings: Fit,
    name: str,
    places: Places,
) -> None:
    """Fit the heat map and the boxes on crops (focal loss of Law 2018, as in CenterNet)."""

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        batch = marked_crops([samples[each] for each in index.tolist()], random.numpy, size=settings.crop_px)
        image = augmented(batch.image, recipe.augmentation.scanner_shift, generator=random.torch)
        return mark_loss(detector.marks(detector.encode(image)), batch)

    fit(
        detector,
        loss_of,
        name=name,
        count=len(samples),
        settings=settings.marks,
        seed=recipe.seed,
        measure=_validation_loss(detector, validation, settings) if validation else None,
        places=places,
    )


def _validation_loss(
    detector: MassDetector, samples: Sequence[Sample], settings: Fit
) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        batch = marked_crops(samples, np.random.default_rng(0), size=settings.crop_px)
        return {"validation_loss": float(mark_loss(detector.marks(detector.encode(batch.image)), batch))}

    return measure


def marked_crops(samples: Sequence[Picture], rng: np.random.Generator, *, size: int) -> Batch:
    """Return one crop of each view for the detector at 0.4 mm."""
    return crops(samples, rng, size=size, stride=HEAT_STRIDE, channels=len(MARKED))


def augmented(image: Tensor, settings: ScannerShift | None, *, generator: torch.Generator) -> Tensor:
    """Return crops or views (N, 2, H, W) as other scanners would show them; the mask stays, and what is outside it."""
    if settings is None:
        return image
    grey, mask = image[:, :1], image[:, 1:]
    return torch.cat([shift_scanner(grey, settings, generator=generator) * mask, mask], dim=1)


def mark_loss(marks: tuple[Tensor, Tensor, Tensor], batch: Batch) -> Tensor:
    """Return the focal loss of the heat and the error of the boxes, by lesion; `marks` as `MassDetector.marks`."""
    logits, offset, log_size = marks
    lesions = batch.weight.sum().clamp(min=1)
    box = (batch.weight * ((offset - batch.offset).abs() + 0.5 * (log_size - batch.log_size).abs())).sum()
    return (_focal(logits, batch.heat).sum() + box) / lesions


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    score = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    at_peak = -((1 - score) ** 2) * score.log()
    elsewhere = -((1 - heat) ** 4) * score**2 * (1 - score).log()
    return torch.where(heat > 0.999, at_peak, elsewhere)


def _train_score(
    detector: MassDetector,
    samples: Sequence[Sample],
    *,
    recipe: MammographyRecipe,
    settings: Fit,
    name: str,
    places: Places,
) -> None:
    """Fit the image score and its map on features of whole views; everything else stays as it is."""
    copies = [recipe.augmentation.scanner_shift if copy else None for copy in range(settings.copies)]
    generator = torch.Generator().manual_seed(recipe.seed)
    features = torch.cat([attended_features(detector, samples, each, generator=generator) for each in copies])
    target = torch.tensor([float(sample.is_marked) for sample in samples]).repeat(len(copies))

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:  # noqa: ARG001
        logit = detector.image_score(features[index].float())[0][:, 0]
        return functional.binary_cross_entropy_with_logits(logit, target[index])

    fit(
        nn.ModuleList([detector.score, detector.cam]),
        loss_of,
        name=name,
        count=len(target),
        settings=settings.score,
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
