# SPDX-License-Identifier: Apache-2.0
"""VGG (Simonyan 2015) as a list of layers, in the order and with the names of the published ImageNet weights."""

import copy
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.onnx import is_in_onnx_export

VGG16: tuple[int, ...] = (2, 2, 3, 3, 3)
VGG19: tuple[int, ...] = (2, 2, 4, 4, 4)
"""Convolutions before each pooling."""
WIDTHS: tuple[int, ...] = (64, 128, 256, 512, 512)


def vgg_body(
    channels: int, convolutions: Sequence[int] = VGG16, *, widths: Sequence[int] = WIDTHS, norm: bool = False
) -> nn.Sequential:
    """Return the convolutional part: (N, channels, H, W) to (N, widths[-1], H / 2^stages, W / 2^stages).

    `norm` puts batch normalisation after each convolution, as small members that start from nothing need it.
    """
    layers: list[nn.Module] = []
    for count, width in zip(convolutions, widths, strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            layers += [nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    body = nn.Sequential(*layers)
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return body


class DenseHead(nn.Sequential):
    """Flatten and three dense layers, with dropout in training: VGG's own head.

    Parameters
    ----------
    grid
        Rows and columns that the first dense layer takes: 7 x 7 for an image of 224 x 224.
    cell
        Rows and columns of the features that are averaged into one of those: 2 x 2 for an image of 448 x 448.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        grid: tuple[int, int] = (7, 7),
        cell: tuple[int, int] = (1, 1),
        hidden: int = 4096,
    ) -> None:
        super().__init__(
            nn.Linear(features * grid[0] * grid[1], hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )
        self.grid, self.cell = grid, cell
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, K).

        Raises
        ------
        ValueError
            The features have another size than grid times cell.
        """
        wanted = (self.grid[0] * self.cell[0], self.grid[1] * self.cell[1])
        if not is_in_onnx_export() and tuple(features.shape[2:]) != wanted:
            raise ValueError(
                f"features of {tuple(features.shape[2:])} do not fit a dense head for {wanted}; "
                "give images of the size that the head was built for, or build it with another grid or cell"
            )
        logits: Tensor = super().forward(self.pool(features).flatten(1))  # type: ignore[no-untyped-call]
        return logits

    def pool(self, features: Tensor) -> Tensor:
        """Average the features down to the grid."""
        return features if self.cell == (1, 1) else nn.functional.avg_pool2d(features, self.cell)


def folded(body: nn.Sequential) -> nn.Sequential:
    """Return a copy for evaluation without batch normalisation: each is folded into the convolution before it."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(body).eval():
        if isinstance(layer, nn.BatchNorm2d):
            layers.append(fuse_conv_bn_eval(layers.pop(), layer))  # type: ignore[type-var]
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
