# SPDX-License-Identifier: Apache-2.0
"""A heat-map detector of calcification clusters at 0.1 mm, small enough for a whole breast on a processor.

Calcifications are one to five pixels wide and a few times as strong as the grain of the picture, which differs from
scanner to scanner and from place to place: the picture is first brought into units of its own grain. Then two stages
look closely, maxima carry what they find down, and a few layers with a context of some 30 mm tell a cluster from
single ones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.heat_map import HeatMapGraph, Residual, convolution

CLUSTER_STRIDE = 16
_TISSUE = ((8, 1), (16, 3))
"""What is wider than 8 pixels, or than 3 cells of 16, is tissue, and taken out: a blurred calcification is wide."""
_WINDOW_CELLS = 5
"""The grain is measured over so many cells of 16 pixels in each direction."""
_HIGHEST = 24.0
"""Times the grain; nothing that counts is higher, and an edge of the breast may be."""


class GrainUnits(nn.Module):
    """Takes the tissue out of the grey (N, 1, H, W) and gives what is left in units of the local grain, a quarter each.

    The grain is the root of the mean square of what a mean over 2 x 2 pixels takes away; both are measured inside the
    mask (N, 1, H, W) alone. H and W are multiples of 16.
    """

    def forward(self, grey: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 2, H, W), for each width of tissue, 0 outside the mask, at most 6."""
        fine = (grey - _smooth(grey, mask, 2)) * mask
        share = functional.avg_pool2d(mask, CLUSTER_STRIDE)
        power = functional.avg_pool2d(fine * fine, CLUSTER_STRIDE)
        mean = _around(power, _WINDOW_CELLS) / _around(share, _WINDOW_CELLS).clamp(min=1e-3)
        grain = functional.interpolate(mean.clamp(min=1e-8).sqrt(), scale_factor=float(CLUSTER_STRIDE), mode="bilinear")
        details = [(grey - _smooth(grey, mask, size, cells=cells)) * mask / grain for size, cells in _TISSUE]
        return torch.cat(details, dim=1).clamp(-_HIGHEST, _HIGHEST) / 4


def _around(squares: Tensor, count: int) -> Tensor:
    return functional.avg_pool2d(squares, count, stride=1, padding=count // 2)


def _smooth(grey: Tensor, mask: Tensor, size: int, *, cells: int = 1) -> Tensor:
    """Return the mean of what lies inside the mask in `cells` squares of `size` pixels, interpolated between them."""
    sums, shares = (
        functional.interpolate(
            _around(functional.avg_pool2d(part, size), cells), scale_factor=float(size), mode="bilinear"
        )
        for part in (grey * mask, mask)
    )
    return sums / shares.clamp(min=1e-3)


class ClusterDetector(nn.Module):
    """Maps an image and its breast mask (N, 2, H, W) to heat logits, offset and log size at 1/16 of the resolution.

    H and W are multiples of 16; offset and size are in 16-pixel cells.
    """

    def __init__(self, width: int = 10) -> None:
        super().__init__()
        self.units = GrainUnits()
        self.fine = nn.Sequential(
            convolution(3, width, size=5, stride=2),
            convolution(width, width),
            nn.MaxPool2d(2),
            convolution(width, 2 * width),
            convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            convolution(2 * width, 4 * width, stride=2),
        )
        self.context = nn.Sequential(*[Residual(4 * width, dilation=dilation) for dilation in (1, 2, 4)])
        peak = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.heat = nn.Sequential(convolution(4 * width, 4 * width), peak)
        self.box = nn.Sequential(convolution(4 * width, 2 * width), nn.Conv2d(2 * width, 4, kernel_size=1))
        nn.init.constant_(peak.bias, -4.0)  # type: ignore[arg-type]  # a rare class: start near its share

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (heat logits, offset, log size)."""
        units = self.units(image[:, :1], image[:, 1:])
        features = self.context(self.fine(torch.cat([units, image[:, 1:]], dim=1)))
        box = self.box(features)
        return self.heat(features), box[:, :2].sigmoid(), box[:, 2:]


class ClusterDetectorGraph(HeatMapGraph):
    """The detector as it is exported."""

    def __init__(self, detector: ClusterDetector, marks: int = 20) -> None:
        super().__init__(detector, stride=CLUSTER_STRIDE, marks=marks)
