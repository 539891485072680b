# SPDX-License-Identifier: Apache-2.0
"""Trains the lung finder and the zone reader of the pneumoconiosis demonstration, and measures them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from models.networks.lung_unet import LungUNet
from models.networks.zone_ensemble import ZoneReader
from models.networks.zone_profusion import THRESHOLDS, ZoneProfusion
from models.phantoms.chest_radiograph.opacities import SHAPES
from models.recipes.film_augmentation import augment_films
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_recipe import ZoneNetwork, ZonePass
from models.recipes.zone_augmentation import augment_zones
from models.training.fit import Places, fit
from models.training.fit_settings import FitSettings
from models.training.random_source import RandomSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a fit is called in a run, and where the run keeps its checkpoints and curves."""

    name: str
    places: Places


def train_lungs(films: Tensor, masks: Tensor, *, passes: Sequence[FitSettings], seed: int, run: Run) -> LungUNet:
    """Train the U-Net on augmented films with Dice and cross entropy."""
    torch.manual_seed(seed)
    network = LungUNet()

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        film, mask = augment_films(films[index], masks[index].float(), generator=random.torch)
        logits = network.logits(film.contiguous(memory_format=torch.channels_last))
        return functional.binary_cross_entropy_with_logits(logits, mask) + _dice_loss(logits, mask)

    for number, settings in enumerate(passes):
        fit(
            network,
            loss_of,
            name=f"{run.name}-{number}",
            count=len(films),
            settings=settings,
            seed=seed + number,
            places=run.places,
        )
    return network


def _dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    shown = logits.sigmoid()
    common = (shown * masks).sum(dim=(2, 3))
    return 1 - ((2 * common + 50) / (shown.sum(dim=(2, 3)) + masks.sum(dim=(2, 3)) + 50)).mean()


def train_zones(
    data: ZoneSet, *, passes: Sequence[ZonePass], seed: int, run: Run, network: ZoneNetwork
) -> ZoneProfusion:
    """Train the zone reader: cumulative logits for profusion, multilabel for shapes where there is disease.

    A second head, dropped afterwards, learns how much opacity lies in each cell: phantoms and overlays know it, and it
    tells the network what to look for long before the zone's level would. Early passes may look at parts of zones
    alone, at a third of the cost. What reads the features stays at full precision, whatever the settings say.
    """
    torch.manual_seed(seed)
    reader = network.build()
    opacity = nn.Conv2d(reader.shape.in_features, 1, 1)
    both = nn.ModuleList([reader, opacity])
    steps = (data.levels[:, None] > torch.arange(THRESHOLDS)[None, :]).float()

    def loss_of(index: Tensor, random: RandomSource, *, part: tuple[int, int]) -> Tensor:
        zones, truth = augment_zones(
            data.tensors[index].float(), data.opacity_mm[index], part=part, generator=random.torch
        )
        features = reader.features(zones.contiguous(memory_format=torch.channels_last)).float()
        with torch.autocast("cpu", enabled=False):
            profusion, shape, _, _ = reader.read(features, zones[:, 1:])
            found = opacity(features)
        cells = functional.avg_pool2d(truth, truth.shape[3] // found.shape[3])
        local = functional.mse_loss(found, torch.log1p(10 * cells))
        diseased = (data.levels[index] >= 3).float()[:, None]
        shapes = functional.binary_cross_entropy_with_logits(shape, data.shapes[index], weight=diseased)
        return functional.binary_cross_entropy_with_logits(profusion, steps[index]) + 0.5 * shapes + 2 * local

    for number, each in enumerate(passes):
        fit(
            both,
            partial(loss_of, part=each.part),
            name=f"{run.name}-{number}",
            count=len(data.levels),
            settings=each.settings,
            seed=seed + number,
            places=run.places,
        )
    return reader


@torch.no_grad()
def lung_dice(network: LungUNet, films: Tensor, masks: Tensor) -> NDArray[np.float64]:
    """Return the Dice of (film, organ): right lung, left lung, heart."""
    shown = torch.cat([network(part) for part in torch.split(films, 16)]) > 0.5
    common = (shown & masks).sum(dim=(2, 3))
    return np.asarray(2 * common / (shown.sum(dim=(2, 3)) + masks.sum(dim=(2, 3))), dtype=np.float64)


@torch.no_grad()
def read_zones(network: ZoneReader, data: ZoneSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return profusion probabilities (N, 11) and shape probabilities (N, 6)."""
    parts = [network(part.float())[:2] for part in torch.split(data.tensors, 32)]
    profusion, shape = (torch.cat(column).sigmoid().double().numpy() for column in zip(*parts, strict=True))
    return profusion, shape


def zone_metrics(profusion: NDArray[np.float64], shape: NDArray[np.float64], data: ZoneSet) -> Mapping[str, float]:
    """Measure the zones: abnormal or not, agreement on the 12-point scale, p, and the leading shape."""
    levels = data.levels.numpy()
    abnormal, score = levels >= 3, profusion[:, 2]
    clear = abnormal | (levels <= 1)
    shapes = data.shapes.numpy()
    only_p = ((shapes[:, 0] > 0) & (shapes.sum(axis=1) == 1) & abnormal) | (levels <= 1)
    leading = shapes[np.arange(len(levels)), shape.argmax(axis=1)] > 0
    return {
        "AUC profusion >= 1/0 against <= 0/0": auc(score[clear], abnormal[clear]),
        "AUC of p alone against <= 0/0": auc(score[only_p], abnormal[only_p]),
        "quadratic weighted kappa, 12-point scale": kappa(levels, np.rint(profusion.sum(axis=1)).astype(int)),
        f"leading shape is present, of {len(SHAPES)}": float(leading[abnormal].mean()),
    }


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve (Mann and Whitney)."""
    u = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    return float(u / (positive.sum() * (~positive).sum()))


def kappa(truth: NDArray[np.int64], read: NDArray[np.int64]) -> float:
    """Return Cohen's kappa with quadratic weights."""
    expected = np.mean((truth[:, None] - read[None, :]) ** 2)
    return float(1 - np.mean((truth - read) ** 2) / expected)
