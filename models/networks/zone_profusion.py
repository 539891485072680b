# SPDX-License-Identifier: Apache-2.0
"""Reads profusion and shape of small opacities in one lung zone, and explains the profusion inside the graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.depths import Depths, pooled
from models.networks.wavelet import BANDS, WaveletFrontEnd

THRESHOLDS = 11
"""Steps of the ILO 12-point scale; logit k says whether profusion is above the k-th of 0/-, 0/0 ... 3/3."""
SHAPES = 6
ABNORMAL = 2
"""Index of the step from 0/1 to 1/0, which the explanation map decomposes."""
_FIRST_STAGE_END = 4
"""Layers of the backbone up to the first stage, the convolution and the pooling before it included."""
OUTPUT_NAMES = ("profusion_logits", "shape_logits", "cam", "feature")


class ZoneProfusion(nn.Module):
    """Maps a zone crop and its mask (N, 2, 288, 288) at 0.5 mm to (profusion, shape, map, feature).

    The image goes through a fixed Haar transform; its bands are brought to equal strength, because detail is a hundred
    times weaker than the average, and the zone's border is left out, because it is the strongest edge. Features count
    only inside the zone: they are weighted with the mask before they are averaged, so that nothing outside the lung can
    carry a score, and the map (N, 1, h, w) adds up: `map.mean(h, w) == profusion_logits[:, ABNORMAL]`, bias included.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 48, 64)) -> None:
        super().__init__()
        self.wavelet = WaveletFrontEnd("haar")
        self.balance = nn.BatchNorm2d(len(BANDS), affine=False)
        first, second, third, fourth = widths
        self.backbone = nn.Sequential(
            _convolution(5, first),
            nn.MaxPool2d(2),
            *_stage(first, second),
            nn.MaxPool2d(2),
            *_stage(second, third),
            nn.MaxPool2d(2),
            *_stage(third, fourth),
        )
        self.profusion = nn.Conv2d(fourth, 1, kernel_size=1, bias=False)
        self.cuts = nn.Parameter(torch.linspace(2.5, -2.5, THRESHOLDS))
        self.shape = nn.Linear(fourth, SHAPES)

    def forward(self, zone: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return profusion_logits (N, 11), shape_logits (N, 6), map (N, 1, h, w) and feature (N, D)."""
        return self.read(self.features(zone), zone[:, 1:])

    def features(self, zone: Tensor) -> Tensor:
        """Return (N, D, 18, 18)."""
        found: Tensor = self.backbone(self._bands(zone))
        return found

    def with_depths(self, zone: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features inside the zone at 1/4 of the resolution and at the end)."""
        mask = zone[:, 1:]
        shallow = self.backbone[:_FIRST_STAGE_END](self._bands(zone))
        deep = self.backbone[_FIRST_STAGE_END:](shallow)
        return self.read(deep, mask), {"shallow": pooled(shallow, mask), "deep": pooled(deep, mask)}

    def _bands(self, zone: Tensor) -> Tensor:
        """Return the balanced bands and where they are inside the zone, (N, 5, 144, 144)."""
        image, mask = zone[:, :1], zone[:, 1:]
        inside = (functional.avg_pool2d(mask, 2) > 0.999).to(image.dtype)
        return torch.cat([self.balance(self.wavelet(image) * inside), inside], dim=1)

    def read(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `forward` does, from features and the zone's mask."""
        share = functional.avg_pool2d(mask, mask.shape[3] // features.shape[3])
        weight = share / share.mean(dim=(2, 3), keepdim=True).clamp(min=1e-4)
        weighted = features * weight
        feature = weighted.mean(dim=(2, 3))
        parts = self.profusion(weighted)
        logits = parts.mean(dim=(2, 3)) + self.cuts
        cam = parts + weight * self.cuts[ABNORMAL]
        return logits, self.shape(feature), cam, feature


def _stage(features: int, out: int) -> tuple[nn.Sequential, nn.Sequential]:
    return _convolution(features, out), _convolution(out, out)


def _convolution(features: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(features, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
