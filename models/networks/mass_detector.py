# SPDX-License-Identifier: Apache-2.0
"""A fully convolutional detector for mammograms: heat-map peaks as marks, and an image score that explains itself.

Marks come from the heat map alone (Zhou 2019, "Objects as points"). The image score is a global average of its own map,
so that the map decomposes the score exactly; it looks at features weighted by the heat.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.cam import CamHead
from models.networks.depths import Depths, pooled
from models.networks.heat_map import Residual, convolution, peaks

HEAT_STRIDE = 8
CAM_STRIDE = 16


class MassDetector(nn.Module):
    """Maps an image and its breast mask (N, 2, H, W) to a heat map, boxes, an image score and its map.

    H and W are multiples of 16. `forward` returns (heat logits, offset, size, image logit, map, feature): heat (one map
    for each of `classes`), offset and size at 1/8 of the resolution, sizes in 8-pixel cells; the map at 1/16.
    """

    def __init__(self, width: int = 12, *, classes: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(2, width, stride=2),
            convolution(width, 2 * width, stride=2),
            convolution(2 * width, 4 * width, stride=2),
        )
        self.context = nn.Sequential(*[Residual(4 * width, dilation=dilation) for dilation in (1, 2, 4)])
        peak = nn.Conv2d(4 * width, classes, kernel_size=1)
        self.heat = nn.Sequential(convolution(4 * width, 4 * width), peak)
        self.box = nn.Sequential(convolution(4 * width, 4 * width), nn.Conv2d(4 * width, 4, kernel_size=1))
        self.score = convolution(4 * width, 4 * width, stride=2)
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
        return _weighted(features, self.heat(features))

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
        return heat, offset, log_size.exp(), *self.image_score(_weighted(features, heat))


def _weighted(features: Tensor, heat: Tensor) -> Tensor:
    """Return the features times the highest heat of any class."""
    return features * heat.sigmoid().amax(dim=1, keepdim=True)


class MassDetectorGraph(nn.Module):
    """The detector, or several whose maps are averaged, as it is exported: peaks are picked inside the graph.

    Returns heat (N, classes, h, w) in [0, 1], offset, size, marks (N, K, 6), image_logit (N,), raw_cam, feature; each
    mark is x0, y0, x1, y1 in input pixels, its score, and its class. Several members give the mean of their heat,
    offset, size, logit and map, so that the map still adds up to the logit, and their features one after the other.
    """

    def __init__(self, *detectors: MassDetector, marks: int = 20) -> None:
        super().__init__()
        self.detectors, self.marks = nn.ModuleList(detectors), marks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (heat, offset, size, marks, image_logit, raw_cam, feature)."""
        return self._picked(image, [detector.encode(image) for detector in self._members()])

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features inside the breast after two layers and of all the context)."""
        mask = image[:, 1:]
        shallow = [detector.stem[:2](image) for detector in self._members()]
        features = [
            detector.context(detector.stem[2:](each)) for detector, each in zip(self._members(), shallow, strict=True)
        ]
        depths = {
            name: torch.cat([pooled(each, mask) for each in found], dim=1)
            for name, found in (("shallow", shallow), ("deep", features))
        }
        return self._picked(image, features), depths

    def _members(self) -> Sequence[MassDetector]:
        return list(self.detectors)  # type: ignore[arg-type]  # a ModuleList forgets of what

    def _picked(self, image: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        read = [detector.read(each) for detector, each in zip(self._members(), features, strict=True)]
        logits, offsets, sizes, scores, cams, pooled_features = zip(*read, strict=True)
        inside = functional.avg_pool2d(image[:, 1:], HEAT_STRIDE) > 0.5
        heat = _mean([each.sigmoid() for each in logits]) * inside
        offset, size = _mean(offsets), _mean(sizes)
        marks = peaks(heat, offset, size, count=self.marks, stride=HEAT_STRIDE)
        feature = torch.cat(pooled_features, dim=1)
        return heat, offset, size, marks, _mean(scores)[:, 0], _mean(cams), feature


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(dim=0) if len(tensors) > 1 else tensors[0]
