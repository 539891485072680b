# SPDX-License-Identifier: Apache-2.0
"""Varies zone crops as scanners and films do: parts, mirroring, resolution, sharpness, grain and tone."""

import torch
from torch import Tensor
from torch.nn import functional

CELL_PX = 16
"""Pixels of a crop under one cell of the network's map."""
_ROWS = slice(48, 240)
"""Rows of a crop that hold nearly every zone; the rest would only cost time."""


def augment_zones(
    zones: Tensor, opacity_mm: Tensor, *, part: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return zones (N, 2, rows, columns) and opacities (N, 1, rows / 16, columns / 16) of a random part, varied.

    `part` is (rows, columns) in cells, up to (12, 18). Whoever reads a part must know the answer for the zone from it:
    opacities are spread evenly over a zone, in phantoms and overlays alike.
    """
    zones, opacity_mm = zones[:, :, _ROWS], opacity_mm[:, :, _ROWS.start // CELL_PX : _ROWS.stop // CELL_PX]
    zones, opacity_mm = _part(zones, opacity_mm, part, generator)
    if torch.rand((), generator=generator) < 0.5:
        zones, opacity_mm = zones.flip(3), opacity_mm.flip(3)
    picture, mask = zones[:, :1], zones[:, 1:]
    varied = _tone(_grain(_sharpness(_resolution(picture, generator), generator), generator), generator)
    mean = (varied * mask).sum(dim=(2, 3), keepdim=True) / (mask.sum(dim=(2, 3), keepdim=True) + 1)
    return torch.cat([torch.where(mask > 0, varied, mean), mask], dim=1), opacity_mm


def _part(
    zones: Tensor, opacity_mm: Tensor, part: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cut the same cells from all; near the middle, where the zones are."""
    room = [have - want for have, want in zip(opacity_mm.shape[2:], part, strict=True)]
    top, left = (int(torch.randint(gap // 4, gap - gap // 4 + 1, (), generator=generator)) for gap in room)
    rows, columns = slice(top, top + part[0]), slice(left, left + part[1])
    pixels = (slice(rows.start * CELL_PX, rows.stop * CELL_PX), slice(columns.start * CELL_PX, columns.stop * CELL_PX))
    return zones[:, :, pixels[0], pixels[1]], opacity_mm[:, :, rows, columns]


def _uniform(shape: tuple[int, ...], generator: torch.Generator, *, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _resolution(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Pass a third of a batch through coarser pixels, 0.6 to 0.85 mm, so that being blurred says nothing."""
    count = len(picture) // 3
    if count == 0:
        return picture
    factor = float(_uniform((), generator, low=1.2, high=1.7))
    size = [round(length / factor) for length in picture.shape[2:]]
    coarse = functional.interpolate(picture[:count], size=size, mode="area")
    fine = functional.interpolate(coarse, size=picture.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, picture[count:]])


def _sharpness(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Mix with a blurred copy, or sharpen against it."""
    blurred = functional.avg_pool2d(picture, 3, stride=1, padding=1, count_include_pad=False)
    share = _uniform((len(picture), 1, 1, 1), generator, low=-0.4, high=0.5)
    return picture + share * (blurred - picture)


def _grain(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Add white noise, up to a hundredth of the lungs' grey range."""
    strength = _uniform((len(picture), 1, 1, 1), generator, low=0.0, high=0.012)
    return picture + strength * torch.randn(picture.shape, generator=generator)


def _tone(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Vary gamma, gain and offset of each zone."""
    count = (len(picture), 1, 1, 1)
    gamma = torch.exp(_uniform(count, generator, low=-0.5, high=0.5))
    gain = torch.exp(_uniform(count, generator, low=-0.35, high=0.35))
    offset = _uniform(count, generator, low=-0.15, high=0.15)
    return (gain * (picture.clamp(0, 1) ** gamma - 0.5) + 0.5 + offset).clamp(0, 1)
