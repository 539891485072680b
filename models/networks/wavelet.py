# SPDX-License-Identifier: Apache-2.0
"""A fixed wavelet front end: one level of a 2-D wavelet transform as a stride-2 convolution that ONNX can hold.

The coefficients are kept here, so that neither training nor the node needs PyWavelets; a test compares the two.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

PaddingMode = Literal["symmetric", "reflect"]
Band = Literal["cA", "cH", "cV", "cD"]
BANDS: tuple[Band, ...] = get_args(Band)
"""Approximation, horizontal, vertical and diagonal detail, in the order of MATLAB and PyWavelets."""

_LOW_PASS: dict[str, tuple[float, ...]] = {
    "haar": (
        0.7071067811865476,
        0.7071067811865476,
    ),
    "db2": (
        0.48296291314453416,
        0.8365163037378079,
        0.2241438680420134,
        -0.12940952255126037,
    ),
    "db4": (
        0.2303778133088965,
        0.7148465705529157,
        0.6308807679298589,
        -0.027983769416859854,
        -0.18703481171909309,
        0.030841381835560764,
        0.0328830116668852,
        -0.010597401785069032,
    ),
    "sym4": (
        0.0322231006040427,
        -0.012603967262037833,
        -0.09921954357684722,
        0.29785779560527736,
        0.8037387518059161,
        0.49761866763201545,
        -0.02963552764599851,
        -0.07576571478927333,
    ),
    "coif1": (
        -0.07273261951252645,
        0.3378976624574818,
        0.8525720202116004,
        0.3848648468648578,
        -0.07273261951252645,
        -0.015655728135791993,
    ),
    "coif2": (
        0.01638733646320364,
        -0.04146493678687178,
        -0.0673725547237256,
        0.3861100668227629,
        0.8127236354494135,
        0.4170051844232391,
        -0.07648859907828076,
        -0.05943441864643109,
        0.02368017194684777,
        0.005611434819368834,
        -0.0018232088709110323,
        -0.000720549445520347,
    ),
}
WAVELETS = tuple(_LOW_PASS)


class WaveletFrontEnd(nn.Module):
    """One level of the discrete wavelet transform of every channel, equal to `pywt.dwt2`.

    (N, C, H, W) becomes (N, C * len(bands), floor((H + L - 1) / 2), floor((W + L - 1) / 2)) with L the filter
    length; the bands of channel 0 come first.

    Parameters
    ----------
    mode
        "symmetric" repeats the edge sample (half-sample), "reflect" does not (whole-sample): PyWavelets' names.
    bands
        Which bands to return, in which order.
    channels
        C of the input.
    """

    kernel: Tensor

    def __init__(
        self,
        wavelet: str = "haar",
        mode: PaddingMode = "symmetric",
        *,
        bands: tuple[Band, ...] = BANDS,
        channels: int = 1,
    ) -> None:
        super().__init__()
        if wavelet not in _LOW_PASS:
            raise ValueError(f"wavelet {wavelet!r} is unknown; known are {', '.join(WAVELETS)}")
        if mode not in get_args(PaddingMode):
            raise ValueError(f"mode {mode!r} is unknown; known are {', '.join(get_args(PaddingMode))}")
        if not bands or set(bands) - set(BANDS):
            raise ValueError(f"bands {', '.join(bands) or 'none'} are not some of {', '.join(BANDS)}")
        self.mode, self.bands, self.channels = mode, bands, channels
        self.length = len(_LOW_PASS[wavelet])
        self.register_buffer("kernel", _kernels(wavelet, bands).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the wanted bands at half the resolution.

        Raises
        ------
        ValueError
            The image is smaller than the mirrored border.
        """
        length = self.length
        skip = 0 if self.mode == "symmetric" else 1
        if not torch.onnx.is_in_onnx_export() and min(image.shape[2:]) < length - 1 + skip:
            raise ValueError(f"image {tuple(image.shape[2:])} is smaller than {length - 1 + skip} in one axis")
        padded = _mirror(_mirror(image, axis=2, length=length, skip=skip), axis=3, length=length, skip=skip)
        with torch.autocast(image.device.type, enabled=False):  # detail is a hundred times weaker than what it is of
            return nn.functional.conv2d(padded, self.kernel, stride=2, groups=self.channels)


def _kernels(wavelet: str, bands: tuple[Band, ...]) -> Tensor:
    """Return (bands, 1, L, L): outer products of the reversed analysis filters, rows (H) first.

    A convolution layer correlates, so the analysis filter is applied reversed, and the reversed low-pass filter of an
    orthogonal wavelet is the synthesis filter that is kept here.
    """
    low = torch.tensor(_LOW_PASS[wavelet], dtype=torch.float64)
    high = low.flip(0) * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(low) // 2)
    pairs = {"cA": (low, low), "cH": (high, low), "cV": (low, high), "cD": (high, high)}
    return torch.stack([torch.outer(*pairs[band]) for band in bands])[:, None].to(torch.float32)


def _mirror(image: Tensor, *, axis: int, length: int, skip: int) -> Tensor:
    """Extend an axis by L - 2 before and L - 1 after; `skip` is 1 where the edge sample itself is not repeated.

    Slices and concatenation, because ONNX has no half-sample symmetric Pad.
    """
    others = (slice(None),) * axis
    before = image[(*others, slice(skip, skip + length - 2))].flip(axis)
    after = image[(*others, slice(1 - length - skip, -skip or None))].flip(axis)
    return torch.cat([before, image, after] if length > 2 else [image, after], dim=axis)
