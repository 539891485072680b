# SPDX-License-Identifier: Apache-2.0
"""Proves that a decoded JPEG frame used all of its data: a frame that lost its middle decodes without a word otherwise.

Huffman coded data carry no checksum, and a decoder that runs out of them, or has some left, fills up or stops. Both
show: a strict libjpeg says so of sequential DCT with 8 bits, and of lossless JPEG the number of bits that the decoded
pixels need can be computed and must be the number that is there. What is still not seen: a loss of a few bytes of DCT
after which decoding falls into step again, and any loss in DCT with 12 bits or in lossless frames with restarts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from service.domain.errors import PixelError

_SOF_LOSSLESS, _DHT, _SOS, _DRI, _EOI = 0xC3, 0xC4, 0xDA, 0xDD, b"\xff\xd9"
_DCT_8_BIT = frozenset((0xC0, 0xC1))
_SPARE_BITS = 64
"""Bits at the end that some encoders fill up with; the standard has at most 7."""
_TRUNCATED = "it is damaged or truncated; send the object again"


_Samples = NDArray[np.int32]
_PREDICTORS: dict[int, Callable[[_Samples, _Samples, _Samples], _Samples]] = {
    1: lambda left, _above, _corner: left,
    2: lambda _left, above, _corner: above,
    3: lambda _left, _above, corner: corner,
    4: lambda left, above, corner: left + above - corner,
    5: lambda left, above, corner: left + ((above - corner) >> 1),
    6: lambda left, above, corner: above + ((left - corner) >> 1),
    7: lambda left, above, _corner: (left + above) >> 1,
}
"""T.81 table H.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lossless:
    """What the headers of a lossless frame say of how it is coded."""

    precision: int
    predictor: int
    code_lengths: NDArray[np.int64]
    data: bytes


def prove_jpeg(frame: bytes, pixels: NDArray[np.generic]) -> None:
    """Raise PixelError when the frame's data were not used up exactly by decoding these pixels."""
    process, precision = _process(frame)
    if process in _DCT_8_BIT and precision == 8:
        _prove_dct(frame)
    elif process == _SOF_LOSSLESS:
        headers = _lossless(frame)
        if headers is not None:
            _prove_lossless(headers, pixels)


def _prove_dct(frame: bytes) -> None:
    try:
        simplejpeg.decode_jpeg(frame, colorspace="GRAY", strict=True)
    except ValueError as error:
        raise PixelError(f"JPEG frame decodes with a warning ({str(error)[:80]}): {_TRUNCATED}") from error


def _prove_lossless(headers: _Lossless, pixels: NDArray[np.generic]) -> None:
    differences = _differences(headers, pixels)
    categories = np.zeros(1 << 16, dtype=np.uint8)
    for category in range(1, 17):
        categories[1 << (category - 1) :] = category
    needed = np.bincount(categories[np.abs(differences).ravel()], minlength=17)
    extra = np.arange(17) % 16  # category 16 stands for one difference, and has no bits of its own
    bits = int((needed * (headers.code_lengths + extra)).sum())
    available = 8 * (len(headers.data) - headers.data.count(b"\xff\x00"))
    unknown = bool((needed[headers.code_lengths == 0] > 0).any())
    if unknown or not 0 <= available - bits < _SPARE_BITS:
        raise PixelError(f"lossless JPEG frame holds {available} bits, its pixels need {bits}: {_TRUNCATED}")


def _differences(headers: _Lossless, pixels: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return what was coded: each pixel less its prediction (ITU-T T.81 H.1.2.1), in 16 bits."""
    mask = (1 << headers.precision) - 1
    samples = pixels.astype(np.int32) & mask
    left, above, corner = samples[1:, :-1], samples[:-1, 1:], samples[:-1, :-1]
    prediction = np.empty_like(samples)
    prediction[0, 0] = 1 << (headers.precision - 1)
    prediction[0, 1:] = samples[0, :-1]
    prediction[1:, 0] = samples[:-1, 0]
    prediction[1:, 1:] = _PREDICTORS[headers.predictor](left, above, corner)
    differences: NDArray[np.int32] = ((samples - prediction + 0x8000) & 0xFFFF) - 0x8000
    return differences


def _segments(frame: bytes) -> list[tuple[int, bytes, int]]:
    """Return code, content and end of the marker segments up to the first scan; the headers have been checked."""
    found, position = [], 2
    while position + 4 <= len(frame):
        if frame[position + 1] in {0xFF, 0x01}:
            position += 1 if frame[position + 1] == 0xFF else 2
            continue
        end = position + 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
        found.append((frame[position + 1], frame[position + 4 : end], end))
        if frame[position + 1] == _SOS:
            break
        position = end
    return found


def _process(frame: bytes) -> tuple[int, int]:
    """Return the code of the frame header and its precision."""
    headers = ((code, content[0]) for code, content, _ in _segments(frame) if 0xC0 <= code <= 0xC3 and content)
    return next(headers, (0, 0))


def _lossless(frame: bytes) -> _Lossless | None:
    """Return how the frame is coded; None for what is not looked at: restarts, a point transform, several scans."""
    segments = _segments(frame)
    contents = {code: content for code, content, _ in segments}
    scan, end = segments[-1][1], segments[-1][2]
    intervals = int.from_bytes(contents.get(_DRI, b"\0\0"), "big")
    predictor, transform = scan[-3], scan[-1] & 0x0F
    if intervals or transform or scan[0] != 1 or not 1 <= predictor <= 7:
        return None
    lengths = _code_lengths([content for code, content, _ in segments if code == _DHT], scan[2] >> 4)
    if lengths is None:
        return None
    return _Lossless(
        precision=_process(frame)[1],
        predictor=predictor,
        code_lengths=lengths,
        data=frame[end : frame.rindex(_EOI)].rstrip(b"\xff"),
    )


def _code_lengths(tables: list[bytes], wanted: int) -> NDArray[np.int64] | None:
    """Return the length of the code of each category, 0 where there is none (T.81 B.2.4.2)."""
    for content in tables:
        position = 0
        while position + 17 <= len(content):
            counts = content[position + 1 : position + 17]
            symbols = content[position + 17 : position + 17 + sum(counts)]
            if content[position] == wanted:
                lengths = np.repeat(np.arange(1, 17), np.frombuffer(counts, np.uint8))
                by_category = np.zeros(17, dtype=np.int64)
                for symbol, length in zip(symbols, lengths, strict=True):
                    by_category[min(symbol, 16)] = length
                return by_category
            position += 17 + sum(counts)
    return None
