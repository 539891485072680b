# SPDX-License-Identifier: Apache-2.0
"""Reads profusion and shape of small opacities in one lung zone, and explains the profusion inside the graph."""

from collections import OrderedDict
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.classifier import DESIGNS
from models.networks.depths import Depths, pooled
from models.networks.wavelet import BANDS, Band, WaveletFrontEnd

THRESHOLDS = 11
"""Steps of the ILO 12-point scale; logit k says whether profusion is above the k-th of 0/-, 0/0 ... 3/3."""
SHAPES = 6
ABNORMAL = 2
"""Index of the step from 0/1 to 1/0, which the explanation map decomposes."""
PLAIN: Final = "plain"
"""The family that takes `widths`; the others are those of `models.networks.classifier`."""
FAMILIES: Final = (PLAIN, *DESIGNS)
_FIRST_STAGE_END = 4
"""Layers of the plain backbone up to the first stage, the convolution and the pooling before it included."""
OUTPUT_NAMES = ("profusion_logits", "shape_logits", "cam", "feature")


class ZoneProfusion(nn.Module):
    """Maps a zone crop and its mask (N, 2, 288, 288) at 0.5 mm to (profusion, shape, map, feature).

    The image goes through a fixed wavelet transform; its bands are brought to equal strength, because detail is a
    hundred times weaker than the average, and the zone's border is left out, because it is the strongest edge. Features
    count only inside the zone: they are weighted with the mask before they are averaged, so that nothing outside the
    lung can carry a score, and the map (N, 1, h, w) adds up: `map.mean(h, w) == profusion_logits[:, ABNORMAL]`, bias
    included.

    Parameters
    ----------
    widths
        Features of the plain backbone's stages.
    family
        One of `FAMILIES`. The map has 18 x 18 cells; of a full-size family 9 x 9, and sides of a part of a zone must
        be multiples of `cell_px(family)`.
    wavelet, bands
        Of the front end; one band alone will do.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 48, 64),
        *,
        family: str = PLAIN,
        wavelet: str = "haar",
        bands: tuple[Band, ...] = BANDS,
    ) -> None:
        super().__init__()
        self.cell_px = cell_px(family)
        self.wavelet = WaveletFrontEnd(wavelet, bands=bands)
        self.balance = nn.BatchNorm2d(len(bands), affine=False)
        self.backbone, features, self._shallow_end = _backbone(family, len(bands) + 1, widths)
        self.profusion = nn.Conv2d(features, 1, kernel_size=1, bias=False)
        self.cuts = nn.Parameter(torch.linspace(2.5, -2.5, THRESHOLDS))
        self.shape = nn.Linear(features, SHAPES)

    def forward(self, zone: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return profusion_logits (N, 11), shape_logits (N, 6), map (N, 1, h, w) and feature (N, D)."""
        return self.read(self.features(zone), zone[:, 1:])

    def features(self, zone: Tensor) -> Tensor:
        """Return (N, D, 18, 18), or (N, D, 9, 9) of a full-size family."""
        found: Tensor = self.backbone(self._bands(zone))
        return found

    def with_depths(self, zone: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features inside the zone early, 1/4 of the resolution if plain, and at the end)."""
        mask = zone[:, 1:]
        shallow = self.backbone[: self._shallow_end](self._bands(zone))
        deep = self.backbone[self._shallow_end :](shallow)
        return self.read(deep, mask), {"shallow": pooled(shallow, mask), "deep": pooled(deep, mask)}

    @torch.no_grad()
    def lower(self, amount: float) -> None:
        """Lower the cuts of the scale, and with them every profusion logit, by an amount."""
        self.cuts.sub_(amount)

    def _bands(self, zone: Tensor) -> Tensor:
        """Return the balanced bands and where they are inside the zone, (N, bands + 1, 144, 144)."""
        image, mask = zone[:, :1], zone[:, 1:]
        inside = (self._share_inside(mask) > 0.999).to(image.dtype)
        return torch.cat([self.balance(self._cut(self.wavelet(image)) * inside), inside], dim=1)

    def _share_inside(self, mask: Tensor) -> Tensor:
        """Return how much of what each coefficient is made of lies inside the zone."""
        length = self.wavelet.length
        before = length - 2 - 2 * ((length - 2) // 4)  # samples before the first coefficient that is kept
        share = functional.avg_pool2d(mask, length, stride=2, padding=before)
        return share if length % 4 else share[:, :, :-1, :-1]

    def _cut(self, coefficients: Tensor) -> Tensor:
        """Return half the image's rows and columns: filters longer than Haar's reach beyond its borders."""
        surplus = self.wavelet.length // 2 - 1
        if surplus == 0:
            return coefficients
        middle = slice(surplus // 2, surplus // 2 - surplus)
        return coefficients[:, :, middle, middle]

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


def cell_px(family: str) -> int:
    """Return how many pixels of a crop lie under one cell of the family's map, along a side."""
    return 16 if family == PLAIN or family.endswith("-small") else 32


def _backbone(family: str, channels: int, widths: tuple[int, int, int, int]) -> tuple[nn.Sequential, int, int]:
    """Return the layers, how many features they end with, and how many of the layers are shallow.

    Raises
    ------
    ValueError
        The family is unknown.
    """
    if family == PLAIN:
        return _plain(channels, widths), widths[-1], _FIRST_STAGE_END
    if family not in DESIGNS:
        raise ValueError(f"family {family!r} is unknown; known are {', '.join(FAMILIES)}")
    design = DESIGNS[family]
    body = design.body(channels)
    if cell_px(family) > 16:
        body = _without_a_halving(body)
    return body, design.features, len(body) // 2


def _without_a_halving(body: nn.Sequential) -> nn.Sequential:
    """Leave out the stem's pooling, or VGG's last: the transform has halved the picture, and 32 does not divide 144."""
    layers = dict(body.named_children())
    stem = [name for name in layers if name in {"maxpool", "pool0"}]
    del layers[stem[0] if stem else next(reversed(layers))]
    return nn.Sequential(OrderedDict(layers))


def _plain(channels: int, widths: tuple[int, int, int, int]) -> nn.Sequential:
    first, second, third, fourth = widths
    return nn.Sequential(
        _convolution(channels, first),
        nn.MaxPool2d(2),
        *_stage(first, second),
        nn.MaxPool2d(2),
        *_stage(second, third),
        nn.MaxPool2d(2),
        *_stage(third, fourth),
    )


def _stage(features: int, out: int) -> tuple[nn.Sequential, nn.Sequential]:
    return _convolution(features, out), _convolution(out, out)


def _convolution(features: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(features, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
