# SPDX-License-Identifier: Apache-2.0
"""Deep SHAP (Lundberg 2017) offline, by captum: how much every pixel adds to a logit against a set of baseline images.

It needs gradients with rules of their own, so it is no part of any graph; it is for a figure beside the exact maps.
"""

import copy
from dataclasses import dataclass
from typing import cast

import torch
from captum.attr import DeepLiftShap
from monai.networks.nets.resnet import ResNetBottleneck
from torch import Tensor, nn

from models.networks.classifier import Classifier


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DeepShap:
    """Attributions (N, C, H, W), and how far they miss `logit - mean logit of the baselines` (N,)."""

    attributions: Tensor
    residual: Tensor


def deep_shap(classifier: Classifier, images: Tensor, baselines: Tensor, *, target: int) -> DeepShap:
    """Attribute one class's logit to the pixels of images (N, C, H, W) against baselines (B, C, H, W).

    Raises
    ------
    ValueError
        There is only one baseline: Deep SHAP is an expectation over several.
    """
    if len(baselines) < 2:
        raise ValueError(f"{len(baselines)} baseline: give at least 2, for example images without a finding")
    network = _separated(copy.deepcopy(classifier)).eval()
    attributions = DeepLiftShap(network).attribute(images, baselines, target=target).detach()
    with torch.no_grad():
        expected = network(images)[:, target] - network(baselines)[:, target].mean()
    return DeepShap(attributions=attributions, residual=(attributions.sum(dim=(1, 2, 3)) - expected).abs())


def _separated(module: nn.Module) -> nn.Module:
    """Give every ReLU a module of its own that writes into new memory, and write maxima as ReLUs.

    captum holds values by module, and its own rule for a maximum loses what falls on places that two images share.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.ReLU())
        elif isinstance(child, nn.MaxPool2d):
            size, stride, padding = (cast("int", each) for each in (child.kernel_size, child.stride, child.padding))
            setattr(module, name, _Maximum(size, stride, padding))
        elif isinstance(child, ResNetBottleneck):
            setattr(module, name, _Bottleneck(child))
        else:
            _separated(child)
    return module


class _Maximum(nn.Module):
    """A pooling of values that are not negative, as a chain of max(a, b) = a + relu(b - a), each with its own ReLU."""

    def __init__(self, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding
        self.steps = nn.ModuleList(nn.ReLU() for _ in range(size * size - 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (self.padding,) * 4)
        rows, columns = ((length - self.size) // self.stride + 1 for length in padded.shape[2:])
        taps = [
            padded[:, :, i : i + self.stride * rows : self.stride, j : j + self.stride * columns : self.stride]
            for i in range(self.size)
            for j in range(self.size)
        ]
        largest = taps[0]
        for step, tap in zip(self.steps, taps[1:], strict=True):
            largest = largest + step(tap - largest)
        return largest


class _Bottleneck(nn.Module):
    """MONAI's bottleneck, which uses one ReLU three times, with three."""

    def __init__(self, block: ResNetBottleneck) -> None:
        super().__init__()
        self.first = nn.Sequential(block.conv1, block.bn1, nn.ReLU())
        self.second = nn.Sequential(block.conv2, block.bn2, nn.ReLU())
        self.third = nn.Sequential(block.conv3, block.bn3)
        self.short_cut = block.downsample or nn.Identity()
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.last(self.third(self.second(self.first(x))) + self.short_cut(x))
        return joined
