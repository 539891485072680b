# SPDX-License-Identifier: Apache-2.0
"""Classifiers of the families VGG, ResNet and DenseNet, full size and small, of one shape that explanations fit."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from models.networks.cam import CamHead
from models.networks.depths import Depths, pooled
from models.networks.vgg import VGG16, VGG19, DenseHead, vgg_body

Family = Literal["vgg", "resnet", "densenet"]


class Classifier(nn.Module):
    """Maps images (N, C, H, W) to logits (N, K): a front end, a body of convolutions and a head.

    The head is a `CamHead` (global average and a linear layer) or a `DenseHead` (VGG's three dense layers). Every
    parameter is trainable, whatever it started from.
    """

    def __init__(
        self, body: nn.Sequential, head: CamHead | DenseHead, *, family: Family, front_end: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.family = family
        self.front_end = front_end or nn.Identity()
        self.body = body
        self.head = head

    def features(self, image: Tensor) -> Tensor:
        """Return (N, D, h, w), never negative: what the head reads."""
        found: Tensor = self.body(self.front_end(image))
        return found

    def features_with_depths(self, image: Tensor) -> tuple[Tensor, Depths]:
        """Return (features, their mean halfway down the body's layers and at the end)."""
        half = len(self.body) // 2
        shallow = self.body[:half](self.front_end(image))
        found: Tensor = self.body[half:](shallow)
        return found, {"shallow": pooled(shallow), "deep": pooled(found)}

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth)."""
        found, depths = self.features_with_depths(image)
        return (self._logits(found),), depths

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return self._logits(self.features(image))

    def _logits(self, found: Tensor) -> Tensor:
        logits: Tensor = self.head(found)[0] if isinstance(self.head, CamHead) else self.head(found)
        return logits


@dataclass(frozen=True, slots=True)
class Design:
    """How a member is built: its family, its body for a number of channels, features out of it, VGG's hidden ones."""

    family: Family
    body: Callable[[int], nn.Sequential]
    features: int
    dense_hidden: int | None = None


def _resnet(layers: list[int], *, widths: list[int], stem: int, small: bool) -> Callable[[int], nn.Sequential]:
    def build(channels: int) -> nn.Sequential:
        network = ResNet(
            "bottleneck",
            layers,
            widths,
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_size=stem,
            conv1_t_stride=1 if small else 2,
            no_max_pool=small,
            bias_downsample=False,
            feed_forward=False,
        )
        names = ("conv1", "bn1", "act", *(() if small else ("maxpool",)), "layer1", "layer2", "layer3", "layer4")
        return nn.Sequential(OrderedDict((name, getattr(network, name)) for name in names))

    return build


def _densenet(first: int, growth: int, blocks: tuple[int, ...], *, small: bool) -> Callable[[int], nn.Sequential]:
    def build(channels: int) -> nn.Sequential:
        network = DenseNet(2, channels, 1, init_features=first, growth_rate=growth, block_config=blocks)
        if small:
            network.features.pool0 = nn.Identity()
        return nn.Sequential(OrderedDict(chain(network.features.named_children(), [("relu5", nn.ReLU())])))

    return build


def _vgg(convolutions: tuple[int, ...]) -> Callable[[int], nn.Sequential]:
    return lambda channels: vgg_body(channels, convolutions)


def _small_vgg(convolutions: tuple[int, ...]) -> Callable[[int], nn.Sequential]:
    return lambda channels: vgg_body(channels, convolutions, widths=(16, 32, 64), norm=True)


DESIGNS: Mapping[str, Design] = {
    "vgg16": Design("vgg", _vgg(VGG16), 512, dense_hidden=4096),
    "vgg19": Design("vgg", _vgg(VGG19), 512, dense_hidden=4096),
    "resnet50": Design("resnet", _resnet([3, 4, 6, 3], widths=[64, 128, 256, 512], stem=7, small=False), 2048),
    "densenet121": Design("densenet", _densenet(64, 32, (6, 12, 24, 16), small=False), 1024),
    "vgg16-small": Design("vgg", _small_vgg((2, 2, 3)), 64, dense_hidden=64),
    "vgg19-small": Design("vgg", _small_vgg((2, 2, 4)), 64, dense_hidden=64),
    "resnet50-small": Design("resnet", _resnet([1, 1, 1, 1], widths=[8, 12, 16, 24], stem=3, small=True), 96),
    "densenet121-small": Design("densenet", _densenet(16, 8, (3, 4, 4), small=True), 58),
}
"""Every member by name. The small ones end at 1/8 of the resolution, so that a patch of 48 pixels keeps a 6 x 6 map."""


def build_classifier(
    name: str,
    classes: int,
    *,
    channels: int = 1,
    dense_head: bool = False,
    grid: tuple[int, int] = (7, 7),
    cell: tuple[int, int] = (1, 1),
    front_end: nn.Module | None = None,
) -> Classifier:
    """Build a classifier with random weights; `models.weights` replaces them by ImageNet's.

    Parameters
    ----------
    name
        One of `DESIGNS`.
    channels
        Channels of the images, or of what `front_end` makes of them.
    dense_head
        VGG only: its own three dense layers. Otherwise a global average and a linear layer, whose maps add up to the
        logits.
    grid, cell
        Of a dense head, see there; images have a fixed size then.

    Raises
    ------
    ValueError
        The name is unknown, or the family has no dense head.
    """
    design = DESIGNS.get(name)
    if design is None:
        raise ValueError(f"network {name!r} is unknown; known are {', '.join(DESIGNS)}")
    body = design.body(channels)
    if not dense_head:
        return Classifier(body, CamHead(design.features, classes), family=design.family, front_end=front_end)
    if design.dense_hidden is None:
        raise ValueError(f"network {name!r} has no dense head, only VGG has; build it without `dense_head`")
    head = DenseHead(design.features, classes, grid=grid, cell=cell, hidden=design.dense_hidden)
    return Classifier(body, head, family=design.family, front_end=front_end)
