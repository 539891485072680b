# SPDX-License-Identifier: Apache-2.0
"""Trains the lung finder and the zone reader of the pneumoconiosis demonstration, and measures them."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from models.networks.lung_unet import LungUNet
from models.networks.zone_profusion import THRESHOLDS, ZoneProfusion
from models.phantoms.chest_radiograph.opacities import SHAPES
from models.recipes.film_augmentation import augment_films
from models.recipes.pneumoconiosis_data import ZoneSet

Note = Callable[[str], None]
_ROWS, _CELLS = slice(48, 240), slice(3, 15)
"""Rows of a crop that hold nearly every zone; the rest would only cost time in training."""


def train_lungs(films: Tensor, masks: Tensor, *, seed: int, epochs: int, note: Note) -> LungUNet:
    """Train the U-Net on augmented films with Dice and cross entropy."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = LungUNet()

    def loss_of(index: Tensor) -> Tensor:
        film, mask = augment_films(films[index], masks[index].float(), generator=generator)
        logits = network.logits(film.contiguous(memory_format=torch.channels_last))
        return functional.binary_cross_entropy_with_logits(logits, mask) + _dice_loss(logits, mask)

    _fit(network, loss_of, len(films), batch=12, epochs=epochs, generator=generator, note=note)
    return network


def _dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    shown = logits.sigmoid()
    common = (shown * masks).sum(dim=(2, 3))
    return 1 - ((2 * common + 50) / (shown.sum(dim=(2, 3)) + masks.sum(dim=(2, 3)) + 50)).mean()


def train_zones(data: ZoneSet, *, seed: int, epochs: int, note: Note) -> ZoneProfusion:
    """Train the zone reader: cumulative logits for profusion, multilabel for shapes where there is disease.

    A second head, dropped afterwards, learns how much opacity lies in each cell: phantoms know it, and it tells the
    network what to look for long before the zone's level would.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = ZoneProfusion()
    opacity = nn.Conv2d(network.shape.in_features, 1, 1)
    steps = (data.levels[:, None] > torch.arange(THRESHOLDS)[None, :]).float()

    def loss_of(index: Tensor) -> Tensor:
        zones, truth = augment_zones(data.tensors[index].float(), data.opacity_mm[index], generator=generator)
        features = network.features(zones.contiguous(memory_format=torch.channels_last))
        profusion, shape, _, _ = network.read(features, zones[:, 1:])
        local = functional.mse_loss(opacity(features), torch.log1p(10 * truth))
        diseased = (data.levels[index] >= 3).float()[:, None]
        shapes = functional.binary_cross_entropy_with_logits(shape, data.shapes[index], weight=diseased)
        return functional.binary_cross_entropy_with_logits(profusion, steps[index]) + 0.5 * shapes + local

    _fit(
        nn.ModuleList([network, opacity]),
        loss_of,
        len(data.levels),
        batch=24,
        epochs=epochs,
        generator=generator,
        note=note,
    )
    return network


def augment_zones(zones: Tensor, truth: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror every other batch and vary each zone's contrast: grey values only, inside the mask only."""
    zones, truth = zones[:, :, _ROWS], truth[:, :, _CELLS]
    if torch.rand((), generator=generator) < 0.5:
        zones, truth = zones.flip(3), truth.flip(3)
    picture, mask = zones[:, :1], zones[:, 1:]
    count = (len(zones), 1, 1, 1)
    gamma = torch.exp(0.5 * (2 * torch.rand(count, generator=generator) - 1))
    gain = torch.exp(0.35 * (2 * torch.rand(count, generator=generator) - 1))
    offset = 0.15 * (2 * torch.rand(count, generator=generator) - 1)
    varied = (gain * (picture.clamp(0, 1) ** gamma - 0.5) + 0.5 + offset).clamp(0, 1)
    mean = (varied * mask).sum(dim=(2, 3), keepdim=True) / (mask.sum(dim=(2, 3), keepdim=True) + 1)
    return torch.cat([torch.where(mask > 0, varied, mean), mask], dim=1), truth


def _fit(
    network: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    *,
    batch: int,
    epochs: int,
    generator: torch.Generator,
    note: Note,
) -> None:
    steps = epochs * (count // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    network.train()
    for epoch in range(epochs):
        losses = []
        for index in _batches(count, batch, generator):
            optimiser.zero_grad()
            loss = loss_of(index)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        note(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    network.eval()


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]


@torch.no_grad()
def lung_dice(network: LungUNet, films: Tensor, masks: Tensor) -> NDArray[np.float64]:
    """Return the Dice of (film, organ): right lung, left lung, heart."""
    shown = torch.cat([network(part) for part in torch.split(films, 16)]) > 0.5
    common = (shown & masks).sum(dim=(2, 3))
    return np.asarray(2 * common / (shown.sum(dim=(2, 3)) + masks.sum(dim=(2, 3))), dtype=np.float64)


@torch.no_grad()
def read_zones(network: ZoneProfusion, data: ZoneSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
