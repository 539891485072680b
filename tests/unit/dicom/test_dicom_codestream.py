# SPDX-License-Identifier: Apache-2.0
"""What a compressed frame claims is known before a decoder sees it."""

import pytest

from service.dicom.codestream import check_jpeg, check_jpeg_2000, check_rle
from service.domain.errors import PixelError

SOF = b"\xff\xc1\x00\x0b\x0c\x01\x00\x00\x80\x01\x01\x11\x00"
SOS = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"
JPEG = b"\xff\xd8" + SOF + SOS + b"\x12\x34\xff\xd9"


def test_jpeg_claims_are_read() -> None:
    claims, _ = check_jpeg(JPEG)
    assert (claims.rows, claims.columns, claims.components, claims.bits) == (256, 128, 1, 12)


def test_end_of_spectral_selection_is_repaired_in_sequential_jpeg() -> None:
    _, repaired = check_jpeg(JPEG)
    assert repaired == JPEG.replace(SOS, SOS[:-2] + b"\x3f\x00")


def test_a_lossless_frame_is_left_alone() -> None:
    lossless = JPEG.replace(b"\xff\xc1", b"\xff\xc3")
    assert check_jpeg(lossless)[1] == lossless


@pytest.mark.parametrize("padding", [b"", b"\x00", b"\xff"])
def test_padding_after_the_end_marker_is_allowed(padding: bytes) -> None:
    check_jpeg(JPEG + padding)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", JPEG[:10], JPEG[:-2], b"\xff\xd8\xff\xd9", b"\x00" + JPEG])
def test_broken_jpeg_is_refused(frame: bytes) -> None:
    with pytest.raises(PixelError):
        check_jpeg(frame)


def siz(rows: int, columns: int) -> bytes:
    sizes = b"".join(value.to_bytes(4, "big") for value in (columns, rows, 0, 0, columns, rows, 0, 0))
    return b"\xff\x4f\xff\x51\x00\x29\x00\x00" + sizes + b"\x00\x01\x0b\x01\x01"


def test_jpeg_2000_claims_are_read() -> None:
    claims, _ = check_jpeg_2000(siz(300, 200) + b"\xff\xd9")
    assert (claims.rows, claims.columns, claims.components, claims.bits) == (300, 200, 1, 12)


@pytest.mark.parametrize("frame", [b"", siz(3, 2), siz(3, 2)[:20] + b"\xff\xd9"])
def test_broken_jpeg_2000_is_refused(frame: bytes) -> None:
    with pytest.raises(PixelError):
        check_jpeg_2000(frame)


def test_an_rle_table_must_stay_inside_its_frame() -> None:
    table = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    assert check_rle(table + b"\x00\x01") == table + b"\x00\x01"
    for broken in (table, table[:10], b"", b"\x10" + table[1:] + b"\x00"):
        with pytest.raises(PixelError):
            check_rle(broken)
