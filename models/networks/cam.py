# SPDX-License-Identifier: Apache-2.0
"""A classification head whose class activation maps are an exact decomposition of its logits."""

from torch import Tensor, nn


class CamHead(nn.Module):
    """Global average pooling and a linear layer, written as a 1x1 convolution.

    For features (N, C, h, w) it returns logits (N, K) and maps (N, K, h, w) with
    `maps.mean over (h, w) + bias == logits`: each map says where its class's score comes from. The maps are signed;
    clip them at 0 only for display.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(features, classes, kernel_size=1, bias=False)
        self.bias = nn.Parameter(self.classify.weight.new_zeros(classes))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return (logits, maps)."""
        maps: Tensor = self.classify(features)
        return maps.mean(dim=(2, 3)) + self.bias, maps
