# SPDX-License-Identifier: Apache-2.0
"""Grad-CAM (Selvaraju 2017) and HiResCAM (Draelos 2020) from activations and gradients that are already there."""

from torch import Tensor


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Return (N, K, h, w), never negative: channels weighted by their mean gradient.

    `activation` is (N, D, h, w), `gradient` (N, K, D, h, w).
    """
    weight = gradient.mean(dim=(3, 4), keepdim=True)
    return (weight * activation[:, None]).sum(dim=2).relu()


def hires_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Return (N, K, h, w), signed: what each place adds to the logit, as far as the network is linear there.

    At the features that a head reads, the map and the head's offset add up to the logit.
    """
    return (gradient * activation[:, None]).sum(dim=2)
