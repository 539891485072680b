# SPDX-License-Identifier: Apache-2.0
"""Trains the two extra graphs of a pneumoconiosis package: where large opacities and pleural disease lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.networks.lung_unet import LungUNet
from models.recipes.film_augmentation import blur_and_noise, move, tone
from models.recipes.pneumoconiosis_findings_data import CHANNELS, FindingSet
from models.recipes.pneumoconiosis_training import Run
from models.training.fit import fit
from models.training.fit_settings import FitSettings
from models.training.random_source import RandomSource

LARGE, PLEURA = slice(0, 1), slice(1, len(CHANNELS))
"""The channels of each graph."""
_SPREAD = 0.35
_POSITIVE_WEIGHT = 3.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FindingNetworks:
    """The two networks: probabilities (N, 1, 256, 256) and (N, 4, 256, 256) from films (N, 1, 256, 256)."""

    large: LungUNet
    pleura: LungUNet


def train_findings(data: FindingSet, *, passes: Sequence[FitSettings], seed: int, run: Run) -> FindingNetworks:
    """Fit both, one after the other, on the same films."""
    large = train_channels(data, LARGE, passes=passes, seed=seed, run=Run(name=f"{run.name}-large", places=run.places))
    pleura = train_channels(
        data, PLEURA, passes=passes, seed=seed + 1, run=Run(name=f"{run.name}-pleura", places=run.places)
    )
    return FindingNetworks(large=large, pleura=pleura)


def train_channels(
    data: FindingSet, channels: slice, *, passes: Sequence[FitSettings], seed: int, run: Run
) -> LungUNet:
    """Fit one U-Net to some of the places, with cross entropy and Dice over the whole batch.

    Dice is taken over a batch, not a film: most films have none of a finding, and there a film's Dice says nothing.
    """
    torch.manual_seed(seed)
    network = LungUNet(channels=channels.stop - channels.start)
    weight = torch.tensor(_POSITIVE_WEIGHT)

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        films, places = augment_findings(
            data.films[index].float(), data.places[index, channels].float(), generator=random.torch
        )
        logits = network.logits(films.contiguous(memory_format=torch.channels_last))
        entropy = functional.binary_cross_entropy_with_logits(logits, places, pos_weight=weight)
        return entropy + _dice_loss(logits, places)

    for number, settings in enumerate(passes):
        fit(
            network,
            loss_of,
            name=f"{run.name}-{number}",
            count=len(data.films),
            settings=settings,
            seed=seed + number,
            places=run.places,
        )
    return network


def _dice_loss(logits: Tensor, places: Tensor) -> Tensor:
    shown = logits.sigmoid()
    common = (shown * places).sum(dim=(0, 2, 3))
    return 1 - ((2 * common + 50) / (shown.sum(dim=(0, 2, 3)) + places.sum(dim=(0, 2, 3)) + 50)).mean()


def augment_findings(films: Tensor, places: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return films (N, 1, H, W) and places (N, C, H, W) changed together: mirrored, moved a little, other tones.

    Sizes change little, since 10 mm is what makes an opacity large, and nothing is laid over that looks like one.
    """
    mirrored = torch.rand((len(films), 1, 1, 1), generator=generator) < 0.5
    films, places = (torch.where(mirrored, part.flip(3), part) for part in (films, places))
    films, places = move(films, places, generator, spread=_SPREAD)
    return blur_and_noise(tone(films, generator), generator).clamp(0, 1), places
