# SPDX-License-Identifier: Apache-2.0
"""The U-Net in 2-D and 3-D: MONAI's, with settings whose ONNX graph gives the same result at every batch size."""

from collections.abc import Sequence
from typing import Literal

from monai.networks.nets.basic_unet import BasicUNet
from torch import Tensor, nn
from torch.onnx import is_in_onnx_export


class UNet(nn.Module):
    """Maps (N, channels, [D,] H, W) to probabilities (N, classes, [D,] H, W); every size is a multiple of 16.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    widths
        Features at the full resolution and at its half, quarter, eighth and sixteenth.
    exclusive
        Whether a voxel belongs to one class only (softmax); otherwise classes may overlap (sigmoid).
    """

    def __init__(
        self,
        dimensions: Literal[2, 3],
        classes: int,
        *,
        channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        exclusive: bool = False,
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"widths {tuple(widths)} are {len(widths)} numbers; a U-Net has five resolutions")
        self.exclusive = exclusive
        self.network = BasicUNet(
            spatial_dims=dimensions,
            in_channels=channels,
            out_channels=classes,
            features=(*widths, widths[0]),
            act=("relu", {"inplace": True}),
            norm="batch",
            bias=False,
        )
        for level in ("upcat_1", "upcat_2", "upcat_3", "upcat_4"):
            getattr(self.network, level).is_pad = False  # sizes are even at every level, and a graph cannot ask

    def logits(self, image: Tensor) -> Tensor:
        """Return (N, classes, [D,] H, W), for training."""
        if not is_in_onnx_export() and any(size % 16 for size in image.shape[2:]):
            raise ValueError(f"image of {tuple(image.shape[2:])} must be padded to multiples of 16 along each axis")
        shown: Tensor = self.network(image)
        return shown

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities."""
        logits = self.logits(image)
        return logits.softmax(dim=1) if self.exclusive else logits.sigmoid()
