# SPDX-License-Identifier: Apache-2.0
"""A second look at a mark: a small classifier of the patch around it at 0.1 mm, whose logit is the mean of a map."""

from torch import Tensor, nn

from models.networks.cam import CamHead
from models.networks.heat_map import convolution


class SecondLook(nn.Module):
    """Maps patches (N, 1, H, W) in [0, 1], H and W multiples of 16, to a logit (N,) of being what is looked for."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(1, width, size=5, stride=2),
            convolution(width, 2 * width),
            nn.MaxPool2d(2),
            convolution(2 * width, 3 * width, stride=2),
            convolution(3 * width, 4 * width, stride=2),
            convolution(4 * width, 4 * width, dilation=2),
        )
        self.cam = CamHead(4 * width, 1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return (logit, map at 1/16 of the resolution); the map's mean and a constant make the logit."""
        logit, cam = self.cam(self.body(patches))
        return logit[:, 0], cam
