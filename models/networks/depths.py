# SPDX-License-Identifier: Apache-2.0
"""Features of a network at two depths, averaged over the image: what distances from the training's are measured on."""

from typing import Protocol

from torch import Tensor, nn

Depths = dict[str, Tensor]
"""Pooled features (N, D) by depth, for example "shallow" and "deep"."""


class GivesDepths(Protocol):
    """A network that gives its features at two depths or more beside its outputs (hooks could not be exported)."""

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (what `forward` returns, pooled features by depth)."""


def pooled(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean (N, D) of features (N, D, h, w), over a mask (N, 1, H, W) in [0, 1] where there is one.

    H and W are whole multiples of h and w. Under an empty mask the mean is 0.
    """
    if mask is None:
        return features.mean(dim=(2, 3))
    share = nn.functional.avg_pool2d(mask, mask.shape[3] // features.shape[3])
    return (features * share).sum(dim=(2, 3)) / share.sum(dim=(2, 3)).clamp(min=1e-4)
