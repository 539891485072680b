# SPDX-License-Identifier: Apache-2.0
"""What heat-map detectors are made of: convolutions, residual blocks, and the picking of peaks within the graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

LOWEST_SCORE = 0.05
"""Marks below are all zeros: their order would differ between machines in the last digit."""


def peaks(heat: Tensor, offset: Tensor, size: Tensor, *, count: int, stride: int) -> Tensor:
    """Return the highest local maxima of all channels as marks (N, count, 6).

    A maximum is a cell that equals the maximum of its 3 x 3 neighbourhood in its channel (Zhou 2019). A mark is x0, y0,
    x1, y1 in input pixels, its score, and its channel; offset and size (N, 2, h, w) are in cells of `stride` pixels.
    """
    cells = heat.shape[2] * heat.shape[3]
    tops = heat * (heat == functional.max_pool2d(heat, kernel_size=3, stride=1, padding=1))
    score, index = tops.flatten(1).topk(count)
    cell = index % cells
    channel = torch.div(index, cells, rounding_mode="floor").to(heat.dtype)
    across, half = _at(offset, cell), _at(size, cell) / 2
    corner = torch.stack([cell % heat.shape[3], torch.div(cell, heat.shape[3], rounding_mode="floor")], dim=2) + across
    edges = torch.cat([corner - half, corner + half], dim=2) * stride
    marks = torch.cat([edges, score[:, :, None], channel[:, :, None]], dim=2)
    return marks * (score > LOWEST_SCORE)[:, :, None]


def _at(maps: Tensor, cell: Tensor) -> Tensor:
    """Return (N, K, C): the maps' values (N, C, h, w) at K cells."""
    picked = cell[:, None, :].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, picked).transpose(1, 2)


class HeatMapGraph(nn.Module):
    """A heat-map detector of one class as it is exported, with its peaks picked: for networks beside that of masses.

    `detector` maps an image and its mask (N, 2, H, W) to heat logits, offset and log size in cells of `stride` pixels.
    """

    def __init__(self, detector: nn.Module, *, stride: int, marks: int) -> None:
        super().__init__()
        self.detector, self.stride, self.marks = detector, stride, marks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (heat, offset, size, marks); a mark is x0, y0, x1, y1 in input pixels, its score, and 0.

        Heat (N, 1, h, w) is in [0, 1] and 0 outside the mask; marks are (N, K, 6).
        """
        logits, offset, log_size = self.detector(image)
        inside = functional.avg_pool2d(image[:, 1:], self.stride) > 0.5
        heat, size = logits.sigmoid() * inside, log_size.exp()
        return heat, offset, size, peaks(heat, offset, size, count=self.marks, stride=self.stride)


def convolution(features: int, out: int, *, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation and ReLU; the picture keeps its size, divided by the stride."""
    padding = dilation * (size // 2)
    layer = nn.Conv2d(features, out, size, stride=stride, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, features: int, *, dilation: int = 1) -> None:
        super().__init__()
        first = convolution(features, features, dilation=dilation)
        self.body = nn.Sequential(
            first, nn.Conv2d(features, features, 3, padding=1, bias=False), nn.BatchNorm2d(features)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return functional.relu(features + self.body(features))
