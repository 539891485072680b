# SPDX-License-Identifier: Apache-2.0
"""Codestreams of a few hundred bytes that claim gigabytes, break off, or end before they begin."""

import struct

from harness.hostile import PIXEL_DATA, SEQUENCE_END, ct_object
from harness.wire import UNDEFINED, element, even

JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.70",
)
JPEG_LS, JPEG_2000, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def jpeg(code: int, rows: int, columns: int, *, bits: int = 8, end: bytes = b"\0" + EOI) -> bytes:
    """Return a JPEG or JPEG-LS frame that is all header (ITU-T T.81 B.2.2)."""
    spectral_end = 63 if code in {0xC0, 0xC1, 0xC2} else 0
    frame = struct.pack(">BBHBHHB", 0xFF, code, 11, bits, rows, columns, 1) + b"\x01\x11\x00"
    return SOI + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00" + bytes([spectral_end, 0]) + end


def jpeg_2000(rows: int, columns: int) -> bytes:
    """Return a JPEG 2000 codestream that is all header (ITU-T T.800 annex A)."""
    sizes = struct.pack(">HHIIIIIIIIH", 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, 1)
    coding = b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x05\x04\x04\x00\x01"
    quantisation = b"\xff\x5c\x00\x13\x40" + b"\x40" * 16
    tile = b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x0e\x00\x01\xff\x93"
    return b"\xff\x4f\xff\x51" + sizes + b"\x07\x01\x01" + coding + quantisation + tile + EOI


def slice_with(frame: bytes, *, rows: int, columns: int, bits: int = 8, frames: int = 1, uid: str = "1.2.3.4") -> bytes:
    """Return a CT slice with one compressed frame that its header describes like this."""

    def us(tag: int, value: int) -> bytes:
        return element(tag, b"US", struct.pack("<H", value))

    data = even(frame)
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    described = [
        us(0x00280010, rows),
        us(0x00280011, columns),
        us(0x00280100, bits),
        us(0x00280101, bits),
        us(0x00280102, bits - 1),
        element(PIXEL_DATA, b"OB", items + SEQUENCE_END, length=UNDEFINED),
    ]
    if frames > 1:
        described.append(element(0x00280008, b"IS", even(str(frames), b" ")))
    replaced = [0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, PIXEL_DATA]
    return ct_object(*described, uid=uid, without=replaced)


BOMBS = {
    "JPEG-LS, 65500 x 65500 in a header of 8 x 8": (JPEG_LS, jpeg(0xF7, 65_500, 65_500, bits=16), 8, 16),
    "JPEG-LS, 65500 x 65500": (JPEG_LS, jpeg(0xF7, 65_500, 65_500, bits=16), 65_500, 16),
    "JPEG-LS that ends before its data": (JPEG_LS, jpeg(0xF7, 8, 8, bits=16, end=b""), 8, 16),
    "JPEG-LS that is all header": (JPEG_LS, jpeg(0xF7, 8, 8, bits=16), 8, 16),
    "JPEG 2000, 30000 x 30000": (JPEG_2000, jpeg_2000(30_000, 30_000), 30_000, 8),
    "JPEG 2000, 30000 x 30000 in a header of 8 x 8": (JPEG_2000, jpeg_2000(30_000, 30_000), 8, 8),
    "JPEG 2000, 2^31 x 2^31": (JPEG_2000, jpeg_2000(0x7FFFFFFF, 0x7FFFFFFF), 65_535, 16),
    "baseline JPEG, 65500 x 65500": (JPEG_BASELINE, jpeg(0xC0, 65_500, 65_500), 65_500, 8),
    "baseline JPEG, 65500 x 65500 in a header of 8 x 8": (JPEG_BASELINE, jpeg(0xC0, 65_500, 65_500), 8, 8),
    "progressive JPEG, 20000 x 20000": (JPEG_BASELINE, jpeg(0xC2, 20_000, 20_000), 8, 8),
    "extended JPEG, 65500 x 65500": (JPEG_EXTENDED, jpeg(0xC1, 65_500, 65_500, bits=12), 8, 16),
    "lossless JPEG, 65500 x 65500": (JPEG_LOSSLESS, jpeg(0xC3, 65_500, 65_500, bits=16), 65_500, 16),
    "lossless JPEG, 65500 x 65500 in a header of 8 x 8": (JPEG_LOSSLESS, jpeg(0xC3, 65_500, 65_500, bits=16), 8, 16),
    "RLE of 15 segments, 65535 x 65535": (RLE, struct.pack("<16I", 15, *[64] * 15) + b"\x81\0", 65_535, 16),
    "RLE of all ones": (RLE, b"\xff" * 64, 8, 16),
    "JPEG-LS cut in its header": (JPEG_LS, SOI + b"\xff\xf7\xff\xff", 8, 16),
    "JPEG 2000 cut in its header": (JPEG_2000, b"\xff\x4f\xff\x51\x00\x02", 8, 16),
    "lossless JPEG cut in its header": (JPEG_LOSSLESS, SOI + b"\xff\xc3\x00\x02", 8, 16),
    "no codestream": (JPEG_LS, b"", 8, 16),
    "text": (JPEG_2000, b"not a codestream", 8, 8),
    "zeros": (JPEG_LOSSLESS, bytes(64), 8, 8),
}
"""Transfer syntax, frame, rows and columns of the header, bits."""
