# SPDX-License-Identifier: Apache-2.0
"""Weighs rare classes up, in the loss or in the draw of the batches; use one of the two."""

import torch
from torch import Tensor


def class_weights(classes: Tensor, *, count: int) -> Tensor:
    """Return a weight for each class, float32 (count,): the square root of its rarity, for a loss.

    `classes` (N,) are the class indices of all samples. A class as frequent as the average weighs 1; one that has no
    sample weighs as one that has a single sample.
    """
    seen = torch.bincount(classes, minlength=count).double()
    return (seen.mean() / seen.clamp(min=1)).sqrt().float()


def sample_weights(classes: Tensor) -> Tensor:
    """Return a weight for each sample, float64 (N,), for drawing batches in which all classes are equally frequent."""
    seen = torch.bincount(classes).double()
    return 1 / seen[classes]
