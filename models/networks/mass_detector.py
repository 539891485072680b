# SPDX-License-Identifier: Apache-2.0
"""A fully convolutional mass detector for mammograms: heat-map peaks as marks, and an image score that explains itself.

Marks come from the heat map alone (Zhou 2019, "Objects as points"). The image score is a global average of its own map,
so that the map decomposes the score exactly; it looks at features weighted by the heat.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.cam import CamHead
from models.networks.depths import Depths, pooled

HEAT_STRIDE = 8
CAM_STRIDE = 16
LOWEST_SCORE = 0.05
"""Marks below are all zeros: their order would differ between machines in the last digit."""


class MassDetector(nn.Module):
    """Maps an image and its breast mask (N, 2, H, W) to a heat map, boxes, an image score and its map.

    H and W are multiples of 16. `forward` returns (heat logits, offset, size, image logit, map, feature): heat, offset
    and size at 1/8 of the resolution, sizes in 8-pixel cells; the map at 1/16.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(2, width, stride=2),
            _convolution(width, 2 * width, stride=2),
            _convolution(2 * width, 4 * width, stride=2),
        )
        self.context = nn.Sequential(*[_Residual(4 * width, dilation=dilation) for dilation in (1, 2, 4)])
        peak = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.heat = nn.Sequential(_convolution(4 * width, 4 * width), peak)
        self.box = nn.Sequential(_convolution(4 * width, 4 * width), nn.Conv2d(4 * width, 4, kernel_size=1))
        self.score = _convolution(4 * width, 4 * width, stride=2)
        self.cam = CamHead(4 * width, 1)
        nn.init.constant_(peak.bias, -4.0)  # type: ignore[arg-type]  # a rare class: start near its share
        nn.init.constant_(self.cam.bias, -2.0)

    def encode(self, image: Tensor) -> Tensor:
        """Return features at 1/8 of the resolution, with a context of some 40 mm at 0.4 mm pixels."""
        features: Tensor = self.context(self.stem(image))
        return features

    def marks(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (heat logits, offset, log size)."""
        box = self.box(features)
        return self.heat(features), box[:, :2].sigmoid(), box[:, 2:]

    def attended(self, features: Tensor) -> Tensor:
        """Return the features weighted by the heat, so that a small mass is not lost in the average of a view."""
        weighted: Tensor = features * self.heat(features).sigmoid()
        return weighted

    def image_score(self, attended: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (image logit, map, feature); the map's mean and the bias make the logit."""
        scored = self.score(attended)
        logit, cam = self.cam(scored)
        return logit, cam, scored.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (heat logits, offset, size, image logit, map, feature)."""
        return self.read(self.encode(image))

    def read(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return what `forward` does, from features."""
        heat, offset, log_size = self.marks(features)
        return heat, offset, log_size.exp(), *self.image_score(features * heat.sigmoid())


class MassDetectorGraph(nn.Module):
    """The detector as it is exported: peaks are picked inside the graph.

    Returns heat (N, 1, h, w) in [0, 1], offset, size, marks (N, K, 6), image_logit (N,), raw_cam, feature; each mark
    is x0, y0, x1, y1 in input pixels, its score, and the channel (0, mass).
    """

    def __init__(self, detector: MassDetector, marks: int = 20) -> None:
        super().__init__()
        self.detector, self.marks = detector, marks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (heat, offset, size, marks, image_logit, raw_cam, feature)."""
        return self._picked(image, self.detector.encode(image))

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features inside the breast after two layers and of all the context)."""
        mask = image[:, 1:]
        shallow = self.detector.stem[:2](image)
        features = self.detector.context(self.detector.stem[2:](shallow))
        return self._picked(image, features), {"shallow": pooled(shallow, mask), "deep": pooled(features, mask)}

    def _picked(self, image: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        logits, offset, size, logit, cam, feature = self.detector.read(features)
        inside = functional.avg_pool2d(image[:, 1:], HEAT_STRIDE) > 0.5
        heat = logits.sigmoid() * inside
        return heat, offset, size, _peaks(heat, offset, size, count=self.marks), logit[:, 0], cam, feature


def _peaks(heat: Tensor, offset: Tensor, size: Tensor, *, count: int) -> Tensor:
    """Return the highest local maxima: a cell that equals the maximum of its 3 x 3 neighbourhood."""
    tops = heat * (heat == functional.max_pool2d(heat, kernel_size=3, stride=1, padding=1))
    score, index = tops.flatten(1).topk(count)
    across, half = _at(offset, index), _at(size, index) / 2
    corner = torch.stack([index % heat.shape[3], index // heat.shape[3]], dim=2) + across
    edges = torch.cat([corner - half, corner + half], dim=2) * HEAT_STRIDE
    marks = torch.cat([edges, score[:, :, None], torch.zeros_like(score)[:, :, None]], dim=2)
    return marks * (score > LOWEST_SCORE)[:, :, None]


def _at(maps: Tensor, index: Tensor) -> Tensor:
    """Return (N, K, C): the maps' values (N, C, h, w) at K cells."""
    picked = index[:, None, :].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, picked).transpose(1, 2)


def _convolution(features: int, out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(features, out, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, features: int, *, dilation: int = 1) -> None:
        super().__init__()
        first = _convolution(features, features, dilation=dilation)
        self.body = nn.Sequential(
            first, nn.Conv2d(features, features, 3, padding=1, bias=False), nn.BatchNorm2d(features)
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.body(features))
