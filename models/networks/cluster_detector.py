# SPDX-License-Identifier: Apache-2.0
"""A heat-map detector of calcification clusters at 0.1 mm, small enough for a whole breast on a processor.

Calcifications are one to five pixels wide: two stages look at them closely, maxima carry them down, and a few layers
with a context of some 20 mm tell a cluster from single ones.
"""

from torch import Tensor, nn
from torch.nn import functional

from models.networks.heat_map import Residual, convolution, peaks

CLUSTER_STRIDE = 16


class ClusterDetector(nn.Module):
    """Maps an image and its breast mask (N, 2, H, W) to heat logits, offset and log size at 1/16 of the resolution.

    H and W are multiples of 16; offset and size are in 16-pixel cells.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            convolution(2, width, size=5, stride=2),
            convolution(width, width),
            nn.MaxPool2d(2),
            convolution(width, 2 * width),
            nn.MaxPool2d(2),
            convolution(2 * width, 4 * width, stride=2),
        )
        self.context = nn.Sequential(*[Residual(4 * width, dilation=dilation) for dilation in (1, 2)])
        peak = nn.Conv2d(4 * width, 1, kernel_size=1)
        self.heat = nn.Sequential(convolution(4 * width, 4 * width), peak)
        self.box = nn.Sequential(convolution(4 * width, 2 * width), nn.Conv2d(2 * width, 4, kernel_size=1))
        nn.init.constant_(peak.bias, -4.0)  # type: ignore[arg-type]  # a rare class: start near its share

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (heat logits, offset, log size)."""
        features = self.context(self.fine(image))
        box = self.box(features)
        return self.heat(features), box[:, :2].sigmoid(), box[:, 2:]


class ClusterDetectorGraph(nn.Module):
    """The detector as it is exported: returns heat (N, 1, h, w) in [0, 1], offset, size and marks (N, K, 6)."""

    def __init__(self, detector: ClusterDetector, marks: int = 20) -> None:
        super().__init__()
        self.detector, self.marks = detector, marks

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (heat, offset, size, marks); a mark is x0, y0, x1, y1 in input pixels, its score, and 0."""
        logits, offset, log_size = self.detector(image)
        inside = functional.avg_pool2d(image[:, 1:], CLUSTER_STRIDE) > 0.5
        heat, size = logits.sigmoid() * inside, log_size.exp()
        marks = peaks(heat, offset, size, count=self.marks, stride=CLUSTER_STRIDE)
        return heat, offset, size, marks
