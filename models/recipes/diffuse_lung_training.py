# SPDX-License-Identifier: Apache-2.0
"""Trains the patch classifier with fixed seeds and counts what it gets right on patches that it has not seen."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from models.networks.patch_resnet import PatchResNet
from models.recipes.diffuse_lung_data import Patches

_BATCH = 128
_PEAK_RATE = 4e-3


def train(patches: Patches, *, classes: int, epochs: int, seed: int, threads: int = 1) -> PatchResNet:
    """Train on the patches, turned and mirrored at random; the same seed gives the same weights on one machine."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    network = PatchResNet(classes)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_PEAK_RATE, weight_decay=0.01)
    steps = epochs * -(-len(patches.classes) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_PEAK_RATE, total_steps=steps)
    loss = nn.CrossEntropyLoss(weight=_weights(patches.classes, classes), label_smoothing=0.05)
    rng = np.random.default_rng(seed)
    network.train()
    for _ in tqdm(range(epochs), desc="diffuse-lung-demo", unit="epoch"):
        for images, truth in _batches(patches, rng):
            optimiser.zero_grad()
            loss(network(images)[1], truth).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def _weights(classes: NDArray[np.int64], count: int) -> Tensor:
    """Weigh rare patterns up, by the square root of their rarity."""
    seen = np.bincount(classes, minlength=count)
    return torch.tensor(np.sqrt(seen.mean() / np.maximum(seen, 1)), dtype=torch.float32)


def _batches(patches: Patches, rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
    order = rng.permutation(len(patches.classes))
    chunks = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    return [(_turned(patches.images[chunk], rng), torch.from_numpy(patches.classes[chunk])) for chunk in chunks]


def _turned(images: NDArray[np.float32], rng: np.random.Generator) -> Tensor:
    turned = np.rot90(images, int(rng.integers(4)), axes=(2, 3))
    mirrored = turned[..., ::-1] if rng.uniform() < 0.5 else turned
    shift = rng.normal(0, 0.01, (len(images), 1, 1, 1)).astype(np.float32)
    return torch.from_numpy(np.clip(mirrored + shift, 0, 1))


@torch.no_grad()
def confusion(network: PatchResNet, patches: Patches, *, classes: int) -> NDArray[np.int64]:
    """Return how often each pattern (row) was called each pattern (column)."""
    called = [
        network(torch.from_numpy(patches.images[start : start + 512]))[0].argmax(dim=1).numpy()
        for start in range(0, len(patches.classes), 512)
    ]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (patches.classes, np.concatenate(called)), 1)
    return counts
