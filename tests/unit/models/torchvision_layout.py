# SPDX-License-Identifier: Apache-2.0
"""torchvision's published networks, written a second time from their state dicts: the names and the arithmetic.

Random weights in the layout of the published files, and the logits that torchvision computes from them. Nothing here
uses our networks.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]
VGG_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
VGG_WIDTHS = (64, 128, 256, 512, 512)
RESNET50_BLOCKS = (3, 4, 6, 3)
DENSENET121_LAYERS = (6, 12, 24, 16)


def vgg_state(name: str, *, dense: tuple[int, ...]) -> dict[str, Tensor]:
    """`dense` holds the sizes of the dense layers, published: 25088, 4096, 4096, 1000."""
    state: dict[str, Tensor] = {}
    index, inputs = 0, 3
    for count, width in zip(VGG_CONVOLUTIONS[name], VGG_WIDTHS, strict=True):
        for _ in range(count):
            state |= _weights(f"features.{index}", width, inputs, 3, bias=True)
            index, inputs = index + 2, width
        index += 1
    for layer, (inputs, outputs) in zip((0, 3, 6), pairwise(dense), strict=True):
        state |= _weights(f"classifier.{layer}", outputs, inputs, None, bias=True)
    return state


def vgg_features(name: str, state: State, image: Tensor) -> Tensor:
    x, index = image, 0
    for count in VGG_CONVOLUTIONS[name]:
        for _ in range(count):
            weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1).relu()
            index += 2
        x, index = functional.max_pool2d(x, 2), index + 1
    return x


def vgg_logits(name: str, state: State, image: Tensor) -> Tensor:
    x = functional.adaptive_avg_pool2d(vgg_features(name, state, image), 7).flatten(1)
    for layer in (0, 3):
        x = _linear(x, state, f"classifier.{layer}").relu()
    return _linear(x, state, "classifier.6")


def resnet50_state() -> dict[str, Tensor]:
    state = _weights("conv1", 64, 3, 7) | _norm("bn1", 64)
    inputs = 64
    for stage, (blocks, width) in enumerate(zip(RESNET50_BLOCKS, (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (outputs, read, size) in enumerate(
                ((width, inputs, 1), (width, width, 3), (4 * width, width, 1)), start=1
            ):
                state |= _weights(f"{name}.conv{number}", outputs, read, size) | _norm(f"{name}.bn{number}", outputs)
            if block == 0:
                state |= _weights(f"{name}.downsample.0", 4 * width, inputs, 1)
                state |= _norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    return state | _weights("fc", 1000, 2048, None, bias=True)


def resnet50_logits(state: State, image: Tensor) -> Tensor:
    x = _normed(functional.conv2d(image, state["conv1.weight"], stride=2, padding=3), state, "bn1").relu()
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage, blocks in enumerate(RESNET50_BLOCKS, start=1):
        for block in range(blocks):
            x = _bottleneck(x, state, f"layer{stage}.{block}", stride=2 if block == 0 and stage > 1 else 1)
    return _linear(x.mean(dim=(2, 3)), state, "fc")


def _bottleneck(x: Tensor, state: State, name: str, *, stride: int) -> Tensor:
    y = _normed(functional.conv2d(x, state[f"{name}.conv1.weight"]), state, f"{name}.bn1").relu()
    y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
    y = functional.conv2d(_normed(y, state, f"{name}.bn2").relu(), state[f"{name}.conv3.weight"])
    short_cut = x
    if f"{name}.downsample.0.weight" in state:
        short_cut = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        short_cut = _normed(short_cut, state, f"{name}.downsample.1")
    return (_normed(y, state, f"{name}.bn3") + short_cut).relu()


def densenet121_state(*, dot: str = "") -> dict[str, Tensor]:
    """`dot="."` is the spelling of the published files, "" that of a state dict saved today."""
    state = _weights("features.conv0", 64, 3, 7) | _norm("features.norm0", 64)
    inputs = 64
    for block, layers in enumerate(DENSENET121_LAYERS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            state |= _norm(f"{name}.norm{dot}1", inputs) | _weights(f"{name}.conv{dot}1", 128, inputs, 1)
            state |= _norm(f"{name}.norm{dot}2", 128) | _weights(f"{name}.conv{dot}2", 32, 128, 3)
            inputs += 32
        if block < len(DENSENET121_LAYERS):
            name = f"features.transition{block}"
            state |= _norm(f"{name}.norm", inputs) | _weights(f"{name}.conv", inputs // 2, inputs, 1)
            inputs //= 2
    return state | _norm("features.norm5", inputs) | _weights("classifier", 1000, inputs, None, bias=True)


def densenet121_logits(state: State, image: Tensor) -> Tensor:
    x = functional.conv2d(image, state["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(_normed(x, state, "features.norm0").relu(), 3, stride=2, padding=1)
    for block, layers in enumerate(DENSENET121_LAYERS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = functional.conv2d(_normed(x, state, f"{name}.norm1").relu(), state[f"{name}.conv1.weight"])
            y = functional.conv2d(_normed(y, state, f"{name}.norm2").relu(), state[f"{name}.conv2.weight"], padding=1)
            x = torch.cat([x, y], dim=1)
        if block < len(DENSENET121_LAYERS):
            name = f"features.transition{block}"
            x = functional.conv2d(_normed(x, state, f"{name}.norm").relu(), state[f"{name}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    return _linear(_normed(x, state, "features.norm5").relu().mean(dim=(2, 3)), state, "classifier")


def _weights(name: str, outputs: int, inputs: int, size: int | None, *, bias: bool = False) -> dict[str, Tensor]:
    shape = (outputs, inputs) if size is None else (outputs, inputs, size, size)
    scale = (2 / (inputs * (size or 1) ** 2)) ** 0.5
    weights = {f"{name}.weight": torch.randn(shape) * scale}
    return weights | ({f"{name}.bias": 0.1 * torch.randn(outputs)} if bias else {})


def _norm(name: str, features: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": 0.5 + 0.5 * torch.rand(features),
        f"{name}.bias": 0.1 * torch.randn(features),
        f"{name}.running_mean": 0.1 * torch.randn(features),
        f"{name}.running_var": 0.5 + torch.rand(features),
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def _normed(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])


def _linear(x: Tensor, state: State, name: str) -> Tensor:
    return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


LOGITS: Mapping[str, Any] = {"resnet50": resnet50_logits, "densenet121": densenet121_logits}
