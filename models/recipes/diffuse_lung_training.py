# SPDX-License-Identifier: Apache-2.0
"""Trains the patch classifier as a recipe says and counts what it gets right on patches that it has not seen."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.networks.classifier import build_classifier
from models.networks.field import FieldClassifier
from models.networks.patch_classifier import PatchClassifier
from models.networks.patch_resnet import PatchResNet
from models.phantoms.computed_tomography import PATTERNS
from models.recipes.diffuse_lung_data import Patches
from models.recipes.diffuse_lung_recipe import PATCH_RESNET, Augmentation, DiffuseLungRecipe
from models.training.augmentation import shift_scanner
from models.training.balance import class_weights, sample_weights
from models.training.fit import Places, fit
from models.training.random_source import RandomSource
from models.weights import load_imagenet

PatchNetwork = PatchResNet | PatchClassifier | FieldClassifier


def train(fitted: Patches, validation: Patches, recipe: DiffuseLungRecipe, *, places: Places) -> PatchNetwork:
    """Train; the same recipe gives the same weights on one machine. Validation patches, if any, are only measured."""
    network = build_network(recipe)
    fit_network(network, fitted, validation, recipe, run="patterns", places=places)
    return network


def fit_network(
    network: PatchNetwork, fitted: Patches, validation: Patches, recipe: DiffuseLungRecipe, *, run: str, places: Places
) -> None:
    """Fit a network, which is changed; `run` names its checkpoint."""
    classes = torch.from_numpy(fitted.classes)
    fit(
        network,
        _loss_of(network, fitted, recipe),
        name=run,
        count=len(classes),
        settings=recipe.fit,
        seed=recipe.seed,
        weights=sample_weights(classes) if recipe.balance == "draw" else None,
        measure=_accuracy(network, validation) if len(validation.classes) else None,
        places=places,
    )


def build_network(recipe: DiffuseLungRecipe) -> PatchNetwork:
    """Build the recipe's network with its first weights: random by the seed, or transferred."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.network.family == PATCH_RESNET:
            return PatchResNet(len(PATTERNS), widths=recipe.network.widths)
        classifier = build_classifier(recipe.network.family, len(PATTERNS))
    if recipe.transfer:
        load_imagenet(classifier, recipe.transfer.path, adaptation=recipe.transfer.adaptation)
    return PatchClassifier(classifier)


def _loss_of(
    network: PatchNetwork, patches: Patches, recipe: DiffuseLungRecipe
) -> Callable[[Tensor, RandomSource], Tensor]:
    images, classes = torch.from_numpy(patches.images), torch.from_numpy(patches.classes)
    rarity = class_weights(classes, count=len(PATTERNS)) if recipe.balance == "loss" else None
    loss = nn.CrossEntropyLoss(weight=rarity, label_smoothing=recipe.label_smoothing)

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        seen = augmented(images[index], recipe.augmentation, generator=random.torch)
        value: Tensor = loss(network(seen)[1], classes[index])
        return value

    return loss_of


def augmented(images: Tensor, settings: Augmentation, *, generator: torch.Generator) -> Tensor:
    """Turn and mirror the whole batch at random, then show each patch as another scanner would."""
    turns, mirrored = torch.randint(4, (), generator=generator), torch.rand((), generator=generator) < 0.5
    shown = torch.rot90(images, int(turns), (2, 3)) if settings.turn else images
    shown = shown.flip(3) if settings.mirror and mirrored else shown
    return shift_scanner(shown, settings.scanner_shift, generator=generator) if settings.scanner_shift else shown


def _accuracy(network: PatchNetwork, patches: Patches) -> Callable[[], Mapping[str, float]]:
    images, classes = torch.from_numpy(patches.images), torch.from_numpy(patches.classes)

    def measure() -> Mapping[str, float]:
        called = torch.cat([network(part)[0].argmax(dim=1) for part in torch.split(images, 512)])
        return {"validation_accuracy": float((called == classes).float().mean())}

    return measure


def confusion(probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each pattern (row) was called each pattern (column)."""
    counts = np.zeros((len(PATTERNS), len(PATTERNS)), dtype=np.int64)
    np.add.at(counts, (classes, probabilities.argmax(axis=1)), 1)
    return counts
