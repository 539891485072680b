# SPDX-License-Identifier: Apache-2.0
"""Makes letter-boxed phantom films as varied as real ones: geometry, tone, collimation, markers and dense patches."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment_films(films: Tensor, masks: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return films (N, 1, H, W) in [0, 1] and masks (N, 3, H, W) changed together, each film in its own way."""
    films, masks = move(films, masks, generator)
    films = _haze(films, masks, generator)
    films = _patches(films, generator, count=2, brightness=(0.05, 0.45), size=(0.05, 0.3))
    films = tone(films, generator)
    films = blur_and_noise(films, generator)
    films = _patches(films, generator, count=2, brightness=(-1.0, 1.0), size=(0.01, 0.05))
    films = _borders(films, generator)
    return stretch(films), masks


def _uniform(shape: tuple[int, ...], generator: torch.Generator, *, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def move(films: Tensor, masks: Tensor, generator: torch.Generator, *, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rotate, zoom, stretch and shift; what comes in from outside repeats the film's edge, or is black.

    `spread` is a factor on how far: small where the size in mm says what a thing is.
    """
    count = films.shape[0]
    angle = _uniform((count,), generator, low=-0.16, high=0.16) * spread
    zoom = torch.exp(_uniform((count,), generator, low=-0.35, high=0.35) * spread)
    aspect = torch.exp(_uniform((count,), generator, low=-0.13, high=0.13) * spread)
    shift = _uniform((count, 2), generator, low=-0.16, high=0.16) * spread
    rows = [
        torch.stack([torch.cos(angle) * zoom * aspect, -torch.sin(angle) * zoom, shift[:, 0]], 1),
        torch.stack([torch.sin(angle) * zoom, torch.cos(angle) * zoom / aspect, shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(films.shape), align_corners=False)
    edge = functional.grid_sample(films, grid, padding_mode="border", align_corners=False)
    black = functional.grid_sample(films, grid, padding_mode="zeros", align_corners=False)
    repeats = (torch.rand((count, 1, 1, 1), generator=generator) < 0.5).float()
    moved = functional.grid_sample(masks, grid, padding_mode="zeros", align_corners=False)
    return repeats * edge + (1 - repeats) * black, (moved > 0.5).float()


def _haze(films: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
    """Whiten one lung or both unevenly, as infiltrates and bedside exposures do; the lung is still there.

    A lung of three is hazed; up to half of the way to white, more at one end of it than at the other.
    """
    count, _, rows, columns = films.shape
    there = (torch.rand((count, 2, 1, 1), generator=generator) < 1 / 3).float()
    level = _uniform((count, 2, 1, 1), generator, low=0.1, high=0.7) * there
    uneven = functional.interpolate(
        torch.rand((count, 2, 4, 3), generator=generator), size=(rows, columns), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    soft = functional.avg_pool2d(masks[:, :2], 7, stride=1, padding=3)
    share = (level * uneven * soft).sum(dim=1, keepdim=True)
    return films + share * (0.9 - films).clamp(min=0)


def tone(films: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a gamma, a soft S-curve or its opposite, and slow brightness fields."""
    count = films.shape[0]
    gamma = torch.exp(_uniform((count, 1, 1, 1), generator, low=-0.8, high=0.8))
    curve = _uniform((count, 1, 1, 1), generator, low=0.1, high=5.0)
    shown = films.clamp(0, 1) ** gamma
    curved = torch.sigmoid(curve * (shown - 0.5))
    low, high = torch.sigmoid(-curve / 2), torch.sigmoid(curve / 2)
    shown = (curved - low) / (high - low)
    slow = functional.interpolate(
        torch.randn((count, 1, 5, 5), generator=generator), size=films.shape[2:], mode="bicubic", align_corners=False
    )
    return shown + slow * _uniform((count, 1, 1, 1), generator, low=0.0, high=0.10)


def blur_and_noise(films: Tensor, generator: torch.Generator) -> Tensor:
    """Mix with a blurred copy (or sharpen against it) and add grain."""
    count = films.shape[0]
    blurred = functional.avg_pool2d(films, 5, stride=1, padding=2, count_include_pad=False)
    share = _uniform((count, 1, 1, 1), generator, low=-1.2, high=0.9)
    grain = _uniform((count, 1, 1, 1), generator, low=0.0, high=0.04)
    return films + share * (blurred - films) + grain * torch.randn(films.shape, generator=generator)


def _patches(
    films: Tensor, generator: torch.Generator, *, count: int, brightness: tuple[float, float], size: tuple[float, float]
) -> Tensor:
    """Add soft ellipses anywhere: consolidations and fluid when large, markers and devices when small."""
    number, _, rows, columns = films.shape
    y = torch.linspace(0, 1, rows).view(1, 1, -1, 1)
    x = torch.linspace(0, 1, columns).view(1, 1, 1, -1)
    for _ in range(count):
        place = torch.rand((2, number, 1, 1, 1), generator=generator)
        extent = _uniform((2, number, 1, 1, 1), generator, low=size[0], high=size[1])
        soft = _uniform((number, 1, 1, 1), generator, low=2.0, high=12.0)
        level = _uniform((number, 1, 1, 1), generator, low=brightness[0], high=brightness[1])
        there = (torch.rand((number, 1, 1, 1), generator=generator) < 0.4).float()
        radius = torch.sqrt(((y - place[0]) / extent[0]) ** 2 + ((x - place[1]) / extent[1]) ** 2)
        films = films + there * level * torch.sigmoid(soft * (1 - radius))
    return films


def _borders(films: Tensor, generator: torch.Generator) -> Tensor:
    """Lay black, white or grey bars along the edges: collimation and scanned film."""
    number, _, rows, columns = films.shape
    y = torch.arange(rows).view(1, 1, -1, 1)
    x = torch.arange(columns).view(1, 1, 1, -1)
    for distance, size in ((y, rows), (rows - 1 - y, rows), (x, columns), (columns - 1 - x, columns)):
        width = _uniform((number, 1, 1, 1), generator, low=-0.12, high=0.09) * size
        level = torch.rand((number, 1, 1, 1), generator=generator).round()
        films = torch.where(distance < width, level, films)
    return films


def stretch(films: Tensor) -> Tensor:
    """Bring the 0.5th and 99.5th percentile to 0 and 1, as the pipeline does."""
    flat = films.flatten(1)
    last = flat.shape[1] - 1
    ordered = flat.sort(dim=1).values
    low = ordered[:, math.floor(0.005 * last)].view(-1, 1, 1, 1)
    high = ordered[:, math.ceil(0.995 * last)].view(-1, 1, 1, 1)
    return ((films - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)
