# SPDX-License-Identifier: Apache-2.0
"""Trains the mass detector in two steps: marks on crops, then the image score on whole views."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.networks.mass_detector import MassDetector
from models.recipes.mammography_data import Batch, Sample, crops

CROP = 256
BATCH = 12


def train_marks(detector: MassDetector, samples: Sequence[Sample], *, steps: int, seed: int) -> None:
    """Fit the heat map and the boxes on crops (focal loss of Law 2018, as in CenterNet)."""
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.2)
    detector.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third less work
    for _, chosen in zip(range(steps), _batches(samples, rng), strict=False):
        batch = crops(chosen, rng, size=CROP)
        optimizer.zero_grad()
        torch.autograd.backward(_mark_loss(detector, batch, augmented(batch.image, noise)))
        optimizer.step()
        schedule.step()


def _batches(samples: Sequence[Sample], rng: np.random.Generator) -> Iterator[list[Sample]]:
    while True:
        order = rng.permutation(len(samples))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            yield [samples[index] for index in order[first : first + BATCH]]


def augmented(image: Tensor, noise: torch.Generator) -> Tensor:
    """Bend the tone curve, add grain and blur, as another scanner would; the mask stays."""
    grey, mask = image[:, :1], image[:, 1:]
    draw = torch.rand((4, len(image), 1, 1, 1), generator=noise)
    bent = grey.clamp(min=0) ** torch.exp((draw[0] - 0.5) * 1.2) * (0.8 + 0.4 * draw[1])
    soft = functional.avg_pool2d(bent, 3, stride=1, padding=1)
    mixed = torch.where(draw[2] < 0.3, soft, bent)
    grain = torch.randn(mixed.shape, generator=noise) * 0.04 * draw[3]
    return torch.cat([(mixed + grain) * mask, mask], dim=1)


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


@torch.no_grad()
def attended_features(detector: MassDetector, samples: Sequence[Sample]) -> Tensor:
    """Return the frozen features (n, C, h, w) that the image score is computed from, as float16."""
    detector.eval()
    images = (torch.from_numpy(sample.image.astype(np.float32))[None] for sample in samples)
    return torch.cat([detector.attended(detector.encode(image)).half() for image in images])


def train_score(
    detector: MassDetector, features: Tensor, labels: NDArray[np.float32], *, epochs: int, seed: int
) -> None:
    """Fit the image score and its map on features of whole views; everything else stays as it is."""
    shuffle = torch.Generator().manual_seed(seed)
    parameters: list[nn.Parameter] = [*detector.score.parameters(), *detector.cam.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-2, weight_decay=1e-3)
    target = torch.from_numpy(labels)
    per_epoch = len(target) // 16
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, total_steps=epochs * per_epoch)
    detector.score.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(target), generator=shuffle)[: per_epoch * 16].view(per_epoch, 16):
            optimizer.zero_grad()
            logit = detector.image_score(features[chosen].float())[0][:, 0]
            torch.autograd.backward(functional.binary_cross_entropy_with_logits(logit, target[chosen]))
            optimizer.step()
            schedule.step()
    detector.eval()
