# SPDX-License-Identifier: Apache-2.0
"""Small members of VGG, ResNet and DenseNet without padding: over a whole field they say what they say of its patches.

A patch has 48 pixels, the next one lies 12 further. A network agrees with itself on both if no layer pads and if every
stride up to a map divides 12: then the map of a patch is a window of the map of the field, and windows lie 12 / stride
apart. A field of H x W pixels holds (H - 48) // 12 + 1 patches down and (W - 48) // 12 + 1 across; what is beyond the
last one is not looked at. Zero padding breaks the rule: each patch would have a border of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from models.networks.depths import Depths

PATCH_PX: Final = 48
TILE_PX: Final = 12
MAP_CELLS: Final = 6
"""Explanation maps of all members are brought to 6 x 6 cells for each patch."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How the map of a field holds those of its patches: squares of `size` cells, `step` cells apart."""

    size: int
    step: int

    @classmethod
    def of(cls, part: nn.Module) -> "Windows":
        """Look at what a network makes of one patch, and of two and three side by side.

        Raises
        ------
        ValueError
            The strides do not divide the distance between patches, or the network pads or has no map left.
        """
        part.eval()
        with torch.no_grad():
            sizes = [part(torch.zeros(1, 1, PATCH_PX, PATCH_PX + more)).shape for more in (0, TILE_PX, 2 * TILE_PX)]
        part.train()
        size, first, second = sizes[0][2], sizes[1][3] - sizes[0][3], sizes[2][3] - sizes[1][3]
        if first != second or first < 1:
            raise ValueError(f"patches {TILE_PX} pixels apart lie {first} and then {second} cells apart in the map")
        return cls(size=size, step=first)

    def means(self, features: Tensor) -> Tensor:
        """Return the mean features (T, D) of every patch, row by row, of maps (N, D, h, w)."""
        pooled = nn.functional.avg_pool2d(features, self.size, stride=self.step)
        return pooled.permute(0, 2, 3, 1).reshape(-1, features.shape[1])

    def picks(self, classes: int) -> Tensor:
        """Return the kernels for `cut`: each takes one cell of a window of one class's map."""
        cells = self.size**2
        return torch.eye(cells).reshape(cells, 1, self.size, self.size).repeat(classes, 1, 1, 1)

    def cut(self, maps: Tensor, picks: Tensor, *, classes: int) -> Tensor:
        """Return the maps (T, K, size, size) of every patch, row by row, of maps (N, K, h, w)."""
        cut = nn.functional.conv2d(maps, picks, stride=self.step, groups=classes)
        return cut.permute(0, 2, 3, 1).reshape(-1, classes, self.size, self.size)


class FieldClassifier(nn.Module):
    """Fields (N, 1, H, W) in [0, 1] to probability, logits, maps (T, K, 6, 6), features (T, D), a row for each patch.

    One patch is the smallest field. The maps decompose the logits exactly: their mean and the bias add up to them.
    """

    picks: Tensor

    def __init__(self, shallow: nn.Sequential, deep: nn.Sequential, *, features: int, classes: int) -> None:
        super().__init__()
        self.shallow, self.deep = shallow, deep
        self.windows = {"shallow": Windows.of(shallow), "deep": Windows.of(nn.Sequential(shallow, deep))}
        if MAP_CELLS % self.windows["deep"].size:
            raise ValueError(f"a map of {self.windows['deep'].size} cells does not divide {MAP_CELLS}")
        self.classify = nn.Conv2d(features, classes, kernel_size=1, bias=False)
        self.bias = nn.Parameter(self.classify.weight.new_zeros(classes))
        self.register_buffer("picks", self.windows["deep"].picks(classes), persistent=False)

    def forward(self, fields: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logits, cam, feature)."""
        return self._read(self.deep(self.shallow(fields * 2 - 1)))

    def with_depths(self, fields: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features of each patch halfway and at the end)."""
        shallow = self.shallow(fields * 2 - 1)
        outputs = self._read(self.deep(shallow))
        return outputs, {"shallow": self.windows["shallow"].means(shallow), "deep": outputs[3]}

    def _read(self, found: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        windows = self.windows["deep"]
        feature = windows.means(found)
        maps = windows.cut(self.classify(found), self.picks, classes=self.classify.out_channels)
        logits = nn.functional.linear(feature, self.classify.weight.flatten(1)) + self.bias
        return torch.softmax(logits, dim=1), logits, _enlarged(maps), feature


def _enlarged(maps: Tensor) -> Tensor:
    """Repeat each cell until there are 6 x 6; the mean stays."""
    size = maps.shape[2]
    times = MAP_CELLS // size
    wide = maps[:, :, :, None, :, None].expand(-1, -1, size, times, size, times)
    return wide.reshape(-1, maps.shape[1], MAP_CELLS, MAP_CELLS)


def _convolved(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel_size=size, stride=stride, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class _Residual(nn.Module):
    """Two 3x3 convolutions with a 1x1 short cut around them, cut to what is left."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolved(inputs, outputs, stride=stride),
            nn.Conv2d(outputs, outputs, kernel_size=3, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short_cut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
        self.lost = 1 + stride

    def forward(self, x: Tensor) -> Tensor:
        """Return what both make of x; the short cut reads the middle of what the convolutions read."""
        found = self.body(x)
        rows, columns = (self.lost + self.short_cut.stride[0] * (size - 1) + 1 for size in found.shape[2:])
        return torch.relu(found + self.short_cut(x[:, :, self.lost : rows, self.lost : columns]))


class _DenseLayer(nn.Module):
    """Adds `growth` channels by a 1x1 and a 3x3 convolution to the channels before, cut to what is left."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            *_convolved(inputs, 2 * growth, size=1),
            nn.Conv2d(2 * growth, growth, kernel_size=3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels before and the new ones."""
        return torch.cat([x[:, :, 1:-1, 1:-1], self.body(x)], dim=1)


def _vgg(last: int) -> Callable[[int], FieldClassifier]:
    """VGG16 (three) or VGG19 (four convolutions in the last stage), of which three stages are kept."""

    def build(classes: int) -> FieldClassifier:
        shallow = nn.Sequential(*_convolved(1, 16), *_convolved(16, 16), nn.MaxPool2d(2))
        deep = [*_convolved(16, 32), *_convolved(32, 32), nn.MaxPool2d(2), *_convolved(32, 64)]
        for _ in range(last - 1):
            deep += _convolved(64, 64)
        return FieldClassifier(shallow, nn.Sequential(*deep), features=64, classes=classes)

    return build


def _resnet(classes: int) -> FieldClassifier:
    shallow = nn.Sequential(*_convolved(1, 24, size=5, stride=2), _Residual(24, 32, stride=1))
    deep = nn.Sequential(_Residual(32, 64, stride=2), _Residual(64, 64, stride=1))
    return FieldClassifier(shallow, deep, features=64, classes=classes)


def _densenet(classes: int) -> FieldClassifier:
    shallow = nn.Sequential(*_convolved(1, 24, size=5, stride=2), _DenseLayer(24, 16), _DenseLayer(40, 16))
    transition = [nn.BatchNorm2d(56), nn.ReLU(), nn.Conv2d(56, 40, kernel_size=1, bias=False), nn.AvgPool2d(2)]
    layers = [_DenseLayer(40 + 16 * index, 16) for index in range(3)]
    deep = nn.Sequential(*transition, *layers, nn.BatchNorm2d(88), nn.ReLU())
    return FieldClassifier(shallow, deep, features=88, classes=classes)


FIELD_DESIGNS: Mapping[str, Callable[[int], FieldClassifier]] = {
    "vgg16-field": _vgg(3),
    "vgg19-field": _vgg(4),
    "resnet-field": _resnet,
    "densenet-field": _densenet,
}
"""Every member by name, from the number of classes."""
