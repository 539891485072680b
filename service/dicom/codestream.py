# SPDX-License-Identifier: Apache-2.0
"""Looks at a compressed frame before any decoder does: claimed size, completeness, and one repair.

Decoders allocate what a header claims (562 bytes of JPEG can claim 14 GB), and some return half a picture without a
word when the data stops early. The end marker tells: a frame cut short has lost it. What it cannot tell is a Huffman
coded JPEG frame that lost its middle and kept its end, see entropy.py; JPEG-LS, JPEG 2000 and RLE decoders notice.
"""

from dataclasses import dataclass

from service.domain.errors import PixelError

_SOF = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))
_SEQUENTIAL_DCT = frozenset((0xC0, 0xC1))
_SOS, _EOI = 0xDA, 0xD9
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_J2K_START = b"\xff\x4f\xff\x51"
_J2K_EOC = b"\xff\xd9"
_RLE_HEADER_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a codestream's own header says."""

    rows: int
    columns: int
    components: int
    bits: int


def check_jpeg(frame: bytes) -> tuple[Claims, bytes]:
    """Return the claims of a JPEG or JPEG-LS frame (ITU-T T.81, T.87) and the frame to decode.

    Raises
    ------
    PixelError
        The frame is no JPEG, its markers are broken, or its end marker is missing (it is truncated).
    """
    claims, process, scan = _jpeg_headers(frame)
    if frame.rstrip(b"\x00\xff")[-2:] != b"\xff\xd9":  # some encoders pad with 0xFF instead of 0x00
        raise PixelError("JPEG frame has no end-of-image marker: it is truncated; send the object again")
    return claims, _repaired(frame, scan) if process in _SEQUENTIAL_DCT else frame


def check_jpeg_2000(frame: bytes) -> tuple[Claims, bytes]:
    """Return the claims of a JPEG 2000 or HTJ2K codestream (ITU-T T.800 A.5.1), with or without JP2 boxes.

    Raises
    ------
    PixelError
        There is no codestream, or no end-of-codestream marker.
    """
    start = frame.find(_J2K_START)
    siz = frame[start + 6 : start + 6 + 38]
    if start < 0 or len(siz) < 38:
        raise PixelError("JPEG 2000 frame has no SIZ marker: it is no codestream or truncated; send the object again")
    if _J2K_EOC not in frame[-64:]:
        raise PixelError("JPEG 2000 frame has no end-of-codestream marker: it is truncated; send the object again")
    x1, y1, x0, y0 = (int.from_bytes(siz[at : at + 4], "big") for at in (2, 6, 10, 14))
    components = int.from_bytes(siz[34:36], "big")
    return Claims(rows=y1 - y0, columns=x1 - x0, components=components, bits=(siz[36] & 0x7F) + 1), frame


def check_rle(frame: bytes) -> bytes:
    """Return the frame; raises PixelError when its segment table (PS3.5 G.5) points outside it."""
    table = [int.from_bytes(frame[at : at + 4], "little") for at in range(0, _RLE_HEADER_BYTES, 4)]
    count, offsets = table[0], table[1 : table[0] + 1]
    inside = all(_RLE_HEADER_BYTES <= offset < len(frame) for offset in offsets)
    if len(frame) < _RLE_HEADER_BYTES or not 1 <= count <= 15 or not inside or offsets != sorted(offsets):
        raise PixelError("RLE segment table does not fit its frame (PS3.5 G.5); send the object again")
    return frame


def _jpeg_headers(frame: bytes) -> tuple[Claims, int, int]:
    """Return the claims, the SOF code and the position of the first scan's parameters."""
    if frame[:2] != b"\xff\xd8":
        raise PixelError("frame does not start with a JPEG start-of-image marker; send the object again")
    position, claims, process = 2, None, 0
    while True:
        code, position = _next_marker(frame, position)
        length = int.from_bytes(frame[position : position + 2], "big")
        if code in _STANDALONE:
            continue
        if code == _EOI or length < 2 or position + length > len(frame):
            raise PixelError("JPEG headers are broken or truncated; send the object again")
        if code in _SOF:
            claims, process = _frame_claims(frame[position + 2 : position + length]), code
        if code == _SOS and claims is not None:
            return claims, process, position
        position += length


def _next_marker(frame: bytes, position: int) -> tuple[int, int]:
    """Return the marker code at `position` and the position after it; fill bytes are skipped."""
    while frame[position : position + 2] == b"\xff\xff":
        position += 1
    marker = frame[position : position + 2]
    if len(marker) < 2 or marker[0] != 0xFF:
        raise PixelError("JPEG headers are broken or truncated; send the object again")
    return marker[1], position + 2


def _frame_claims(segment: bytes) -> Claims:
    if len(segment) < 6:
        raise PixelError("JPEG frame header is too short; send the object again")
    rows, columns = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    return Claims(rows=rows, columns=columns, components=segment[5], bits=segment[0])


def _repaired(frame: bytes, scan: int) -> bytes:
    """Set the end of spectral selection to 63, the only value T.81 B.2.3 allows in sequential DCT.

    A widespread encoder of 12-bit radiographs writes 0, which most decoders ignore and libjpeg refuses.
    """
    selection_end = scan + 3 + 2 * frame[scan + 2] + 1
    if selection_end >= len(frame) or frame[selection_end] == 63:
        return frame
    return frame[:selection_end] + b"\x3f" + frame[selection_end + 1 :]
