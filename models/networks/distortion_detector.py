# SPDX-License-Identifier: Apache-2.0
"""A heat-map detector of architectural distortions at 0.4 mm: strands that run together where there is no mass.

A strand is two pixels wide and a few times fainter than the tissue that it crosses, whose contrast differs from scanner
to scanner and from breast to breast: the picture is first split into fine and coarser detail, each in units of its own
local strength.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.heat_map import HeatMapGraph, Residual, convolution

DISTORTION_STRIDE = 8
_DETAILS = ((1, 8), (4, 32))
"""Detail is what a mean over the first number of pixels keeps and one over the second takes away."""
_CELL = 16
_WINDOW_CELLS = 5
"""Strength is measured over so many cells of 16 pixels in each direction, 32 mm at 0.4 mm."""
_HIGHEST = 6.0


class ContrastUnits(nn.Module):
    """Gives the detail of the grey (N, 1, H, W) in units of its local strength, (N, 2, H, W), at most 6.

    It is 0 outside the mask. Strength is the root of the mean square inside the mask (N, 1, H, W). H and W are
    multiples of 32.
    """

    def forward(self, grey: Tensor, mask: Tensor) -> Tensor:
        """Return fine and coarser detail."""
        share = _around(functional.avg_pool2d(mask, _CELL))
        details = []
        for kept, taken in _DETAILS:
            detail = (_smooth(grey, mask, kept) - _smooth(grey, mask, taken)) * mask
            power = _around(functional.avg_pool2d(detail * detail, _CELL)) / share.clamp(min=1e-3)
            strength = functional.interpolate(power.clamp(min=1e-8).sqrt(), scale_factor=float(_CELL), mode="bilinear")
            details.append((detail / strength).clamp(-_HIGHEST, _HIGHEST))
        return torch.cat(details, dim=1)


def _around(squares: Tensor) -> Tensor:
    return functional.avg_pool2d(squares, _WINDOW_CELLS, stride=1, padding=_WINDOW_CELLS // 2)


def _smooth(grey: Tensor, mask: Tensor, size: int) -> Tensor:
    """Return the mean of what lies inside the mask in squares of `size` pixels, interpolated between them."""
    if size == 1:
        return grey
    sums, shares = (
        functional.interpolate(functional.avg_pool2d(part, size), scale_factor=float(size), mode="bilinear")
        for part in (grey * mask, mask)
    )
    return sums / shares.clamp(min=1e-3)


class DistortionDetector(nn.Module):
    """Maps an image and its breast mask (N, 2, H, W) to heat logits, offset and log size at 1/8 of the resolution.

    H and W are multiples of 32; offset and size are in 8-pixel cells.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.units = ContrastUnits()
        self.fine = nn.Sequential(
            convolution(4, width, size=5, stride=2),
            convolution(width, 2 * width, stride=2),
            convolution(2 * width, 2 * width),
            convolution(2 * width, 4 * width, stride=2),
        )
        self.context = nn.Sequential(*[Residual(4 * width, dilation=dilation) for dilation in (1, 2, 4)])
        peak = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.heat = nn.Sequential(convolution(4 * width, 4 * width), peak)
        self.box = nn.Sequential(convolution(4 * width, 2 * width), nn.Conv2d(2 * width, 4, kernel_size=1))
        nn.init.constant_(peak.bias, -4.0)  # type: ignore[arg-type]  # a rare class: start near its share

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (heat logits, offset, log size)."""
        features = self.context(self.fine(torch.cat([self.units(image[:, :1], image[:, 1:]), image], dim=1)))
        box = self.box(features)
        return self.heat(features), box[:, :2].sigmoid(), box[:, 2:]


class DistortionDetectorGraph(HeatMapGraph):
    """The detector as it is exported."""

    def __init__(self, detector: DistortionDetector, marks: int = 20) -> None:
        super().__init__(detector, stride=DISTORTION_STRIDE, marks=marks)
