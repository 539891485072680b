# SPDX-License-Identifier: Apache-2.0
"""Crops of pictures with the maps that a heat-map detector is to give for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BOX_MARGIN = 1.15
"""Boxes are this much larger than the lesion's mean radius."""
_NEAR_LESION = 0.75
"""Share of crops that are cut around a lesion, where there is one."""


class Picture(Protocol):
    """A picture (2, rows, columns), grey and breast mask, and what is to be found on it.

    `targets` are float64 rows of column, row, radius (pixels) and channel.
    """

    @property
    def image(self) -> NDArray[np.float16]:
        """Grey and breast mask."""

    @property
    def targets(self) -> NDArray[np.float64]:
        """(n, 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Crops with their targets: heat (N, channels, h, w), offset and log size (N, 2, h, w), and where those count."""

    image: Tensor
    heat: Tensor
    offset: Tensor
    log_size: Tensor
    weight: Tensor


def crops(pictures: Sequence[Picture], rng: np.random.Generator, *, size: int, stride: int, channels: int = 1) -> Batch:
    """Cut one crop from each picture, most of them around a lesion, mirrored at random; `size` fits into each."""
    parts = [_crop(picture, rng, size=size, stride=stride) for picture in pictures]
    images = torch.from_numpy(np.stack([image for image, _ in parts]).astype(np.float32))
    return batch_of(images, [lesions for _, lesions in parts], size=size, stride=stride, channels=channels)


def batch_of(
    images: Tensor, targets: Sequence[NDArray[np.float64]], *, size: int, stride: int, channels: int = 1
) -> Batch:
    """Return square crops (N, 2, size, size) with the maps of what lies in each; `targets` as those of a `Picture`."""
    maps = [_maps(lesions, size // stride, stride=stride, channels=channels) for lesions in targets]
    heat, offset, log_size, weight = (torch.from_numpy(np.stack(each)) for each in zip(*maps, strict=True))
    return Batch(image=images, heat=heat, offset=offset, log_size=log_size, weight=weight)


def _crop(
    picture: Picture, rng: np.random.Generator, *, size: int, stride: int
) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
    left, top = _corner(picture, rng, size=size, stride=stride)
    image = picture.image[:, top : top + size, left : left + size]
    lesions = picture.targets - (left, top, 0, 0)
    inside = ((lesions[:, :2] >= 0) & (lesions[:, :2] < size)).all(axis=1)
    if rng.random() < 0.5:
        return image[:, ::-1], lesions[inside] * (1, -1, 1, 1) + (0, size - 1e-3, 0, 0)
    return image, lesions[inside]


def _corner(picture: Picture, rng: np.random.Generator, *, size: int, stride: int) -> tuple[int, int]:
    targets = picture.targets
    if len(targets) and rng.random() < _NEAR_LESION:
        centre: NDArray[Any] = targets[int(rng.integers(len(targets))), :2] + rng.uniform(-0.4, 0.4, size=2) * size
    else:
        rows, columns = np.nonzero(picture.image[1])
        pick = int(rng.integers(rows.size))
        centre = np.array([columns[pick], rows[pick]], dtype=np.float64)
    limit = np.array([picture.image.shape[2] - size, picture.image.shape[1] - size])
    left, top = np.clip(centre - size / 2, 0, limit).astype(int) // stride * stride
    return int(left), int(top)


def _maps(lesions: NDArray[np.float64], cells: int, *, stride: int, channels: int) -> tuple[NDArray[np.float32], ...]:
    heat = np.zeros((channels, cells, cells), dtype=np.float32)
    offset, log_size = np.zeros((2, cells, cells), dtype=np.float32), np.zeros((2, cells, cells), dtype=np.float32)
    weight = np.zeros((1, cells, cells), dtype=np.float32)
    rows, columns = np.mgrid[:cells, :cells]
    for x, y, radius, channel in lesions / (stride, stride, stride, 1):
        column, row = int(x), int(y)
        spread = 2 * max(radius / 3, 0.8) ** 2
        own = heat[int(channel)]
        np.maximum(own, np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / spread), out=own)
        offset[:, row, column] = x - column, y - row
        log_size[:, row, column] = np.log(2 * BOX_MARGIN * radius)
        weight[0, row, column] = 1
    return heat, offset, log_size, weight
