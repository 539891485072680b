# SPDX-License-Identifier: Apache-2.0
"""A small encoder of lossless JPEG (ITU-T T.81 H, predictor 1): no library at hand writes it."""

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 5


def encode(pixels: NDArray[np.uint16]) -> bytes:
    """Return the codestream of a frame with 16 bits per pixel; every category has a code of five bits."""
    rows, columns = pixels.shape
    table = b"\x00" + bytes((0, 0, 0, 0, 17)) + bytes(11) + bytes(range(17))
    frame = b"\x10" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    segments = ((0xC3, frame), (0xC4, table), (0xDA, b"\x01\x01\x00\x01\x00\x00"))
    headers = b"".join(bytes((0xFF, code)) + (len(data) + 2).to_bytes(2, "big") + data for code, data in segments)
    return b"\xff\xd8" + headers + _scan(pixels.astype(int)) + b"\xff\xd9"


def _scan(samples: NDArray[np.int_]) -> bytes:
    predicted = np.empty_like(samples)
    predicted[:, 1:] = samples[:, :-1]
    predicted[1:, 0] = samples[:-1, 0]
    predicted[0, 0] = 1 << 15
    differences = ((samples - predicted + 0x8000) & 0xFFFF) - 0x8000
    bits = "".join(_code(int(difference)) for difference in differences.ravel())
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


def _code(difference: int) -> str:
    category = abs(difference).bit_length()
    code = format(category, f"0{CODE_BITS}b")
    if category in {0, 16}:
        return code
    return code + format(difference if difference > 0 else difference + (1 << category) - 1, f"0{category}b")
