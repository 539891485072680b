# SPDX-License-Identifier: Apache-2.0
"""Trains one classifier on films or patches, and reads films with it: the same way for every cell of the table."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.networks.cam import CamHead
from models.networks.classifier import Classifier, build_classifier
from models.networks.wavelet import Band, WaveletFrontEnd
from models.weights import load_imagenet


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How a network is trained; `steps` is the number of batches, whatever the number of films.

    `weights` names a file of ImageNet weights; without, the network starts from nothing.
    """

    network: str
    steps: int
    batch: int = 8
    learning_rate: float = 2e-3
    weights: str = ""
    wavelet: str = ""
    band: Band = "cA"
    seed: int = 0
    device: str = "cpu"


class FrontEnd(nn.Module):
    """The raw film or one sub-band of it, brought to the mean 0 and deviation 1 of the training films."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, wavelet: str, band: Band) -> None:
        super().__init__()
        self.band = WaveletFrontEnd(wavelet, bands=(band,)) if wavelet else nn.Identity()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    @torch.no_grad()
    def measure(self, films: Tensor) -> None:
        """Take mean and deviation from films (N, 1, H, W)."""
        shown = torch.cat([self.band(part) for part in torch.split(films, 16)])
        self.mean.copy_(shown.mean())
        self.deviation.copy_(shown.std().clamp(min=1e-6))

    def forward(self, films: Tensor) -> Tensor:
        """Return (N, 1, H, W), or half of that size for a sub-band."""
        shown: Tensor = (self.band(films) - self.mean) / self.deviation
        return shown


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Reading:
    """What a network says of N films: `scores` (N,), the probability of disease, and `features` (N, D)."""

    scores: NDArray[np.float64]
    features: NDArray[np.float64]


def train(films: Tensor, labels: Tensor, effort: Effort) -> Classifier:
    """Train on films (N, 1, H, W) and labels (N,) of 0 and 1; one seed, one network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(effort.seed)
        front_end = FrontEnd(effort.wavelet, effort.band)
        network = build_classifier(effort.network, 2, front_end=front_end)
        if effort.weights:
            load_imagenet(network, Path(effort.weights))
        front_end.measure(films)
        network.to(effort.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _fit(network, films, labels, effort)
    return network.eval()


def _fit(network: Classifier, films: Tensor, labels: Tensor, effort: Effort) -> None:
    generator = torch.Generator().manual_seed(effort.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=effort.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=effort.learning_rate, total_steps=effort.steps)
    network.train()
    for index in _batches(len(films), effort.batch, steps=effort.steps, generator=generator):
        varied = _varied(films[index], generator).to(effort.device, memory_format=torch.channels_last)
        loss = functional.cross_entropy(network(varied), labels[index].to(effort.device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def _batches(count: int, batch: int, *, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `steps` batches, every film once before any comes again."""
    pool = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(pool) < min(batch, count):
            pool = torch.randperm(count, generator=generator)
        yield pool[:batch]
        pool = pool[batch:]


def _varied(films: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the batches and shift each by up to 1/32 of its size."""
    most = films.shape[-1] // 32
    down, across = (int(torch.randint(-most, most + 1, (), generator=generator)) for _ in range(2))
    moved = films.roll((down, across), dims=(2, 3))
    return moved.flip(3) if torch.rand((), generator=generator) < 0.5 else moved


@torch.no_grad()
def read(network: Classifier, films: Tensor, *, device: str = "cpu") -> Reading:
    """Return what the network says of films (N, 1, H, W)."""
    scores, features = [], []
    for part in torch.split(films, 16):
        found = network.features(part.to(device, memory_format=torch.channels_last))
        logits = network.head(found)[0] if isinstance(network.head, CamHead) else network.head(found)
        scores.append(logits.softmax(dim=1)[:, 1].cpu())
        features.append(found.mean(dim=(2, 3)).cpu())
    return Reading(scores=torch.cat(scores).double().numpy(), features=torch.cat(features).double().numpy())


def as_input(films: NDArray[np.float32], lungs: NDArray[np.bool_] | None, *, size: int) -> Tensor:
    """Return (N, 1, size, size): averaged down, and 0 outside the lungs where masks are given."""
    shown = torch.from_numpy(films if lungs is None else np.where(lungs, films, np.float32(0)))[:, None]
    if shown.shape[-1] == size:
        return shown
    return functional.interpolate(shown, size=(size, size), mode="area")
