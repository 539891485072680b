# SPDX-License-Identifier: Apache-2.0
"""Decoding: right in every syntax that can be written here, and never wrong without a word."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame

from harness.images import image_dataset, save_image
from service.dicom.pixels import MAX_FRAME_PIXELS, SUPPORTED_TRANSFER_SYNTAXES, read_frames, read_image
from service.domain.errors import PixelError
from service.domain.image import SpacingSource, VoiFunction

RNG = np.random.default_rng(1)
PIXELS = np.sort(RNG.integers(0, 4096, (48, 40), dtype=np.uint16), axis=1)
LOSSLESS = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
}
COMPRESSED = ["rle", "jpeg-ls", "jpeg-2000"]


def written(folder: Path, pixels: NDArray[Any] = PIXELS, *, syntax: str = "explicit", **elements: Any) -> Path:
    dataset = image_dataset(pixels, **elements)
    return save_image(dataset, folder / "image.dcm", transfer_syntax_uid=LOSSLESS[syntax])


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_return_what_was_stored(tmp_path: Path, syntax: str) -> None:
    image = read_image(written(tmp_path, syntax=syntax, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.bits_stored == 12
    assert not image.pixels.flags.writeable


@pytest.mark.parametrize("syntax", ["explicit", "rle", "jpeg-2000"])
def test_signed_values_keep_their_sign(tmp_path: Path, syntax: str) -> None:
    pixels = PIXELS.astype(np.int16) - 2000
    np.testing.assert_array_equal(read_image(written(tmp_path, pixels, syntax=syntax)).pixels, pixels)


def test_big_endian_is_swapped(tmp_path: Path) -> None:
    dataset = image_dataset(PIXELS)
    dataset.PixelData = PIXELS.astype(">u2").tobytes()
    path = save_image(dataset, tmp_path / "image.dcm", transfer_syntax_uid="1.2.840.10008.1.2.2")
    np.testing.assert_array_equal(read_image(path).pixels, PIXELS)


def test_bits_above_bits_stored_are_dropped_and_the_sign_extended(tmp_path: Path) -> None:
    """PS3.5 8.1.1: 12 bits stored, an overlay bit in 12, and -1 as 0x0FFF."""
    pixels = np.array([[0x1001, 0x0FFF]], dtype=np.uint16)
    unsigned = read_image(written(tmp_path, pixels, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(unsigned.pixels, [[1, 4095]])
    signed = read_image(written(tmp_path, pixels, BitsStored=12, HighBit=11, PixelRepresentation=1))
    np.testing.assert_array_equal(signed.pixels, [[1, -1]])


def test_frames_are_numbered_from_one(tmp_path: Path) -> None:
    frames = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    path = written(tmp_path, frames, NumberOfFrames=2)
    np.testing.assert_array_equal(read_image(path, 2).pixels, frames[1])
    assert [image.frame_number for image in read_frames(path)] == [1, 2]
    with pytest.raises(PixelError, match="frame 3"):
        read_image(path, 3)


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("share", [0.99, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["cut", "cut, end marker glued on"])
def test_a_truncated_frame_never_decodes(tmp_path: Path, syntax: str, share: float, end: bytes) -> None:
    path = written(tmp_path, syntax=syntax)
    dataset = dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    dataset.save_as(path)
    with pytest.raises(PixelError):
        read_image(path)


def test_truncated_native_pixels_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, Rows=49)
    with pytest.raises(PixelError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("syntax", ["jpeg-ls", "jpeg-2000"])
def test_a_codestream_that_contradicts_the_header_is_refused_before_decoding(tmp_path: Path, syntax: str) -> None:
    path = written(tmp_path, syntax=syntax)
    dataset = dcmread(path)
    dataset.Rows, dataset.Columns = 40, 48
    dataset.save_as(path)
    with pytest.raises(PixelError, match="codestream claims"):
        read_image(path)


@pytest.mark.parametrize(
    ("elements", "rule"),
    [
        ({"Rows": 60000, "Columns": 60000}, str(MAX_FRAME_PIXELS)),
        ({"Rows": 0}, "1 to"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "MONOCHROME"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "Bits Allocated"),
        ({"BitsStored": 17}, "Bits Stored"),
        ({"BitsStored": 12, "HighBit": 3}, "High Bit"),
    ],
)
def test_impossible_descriptions_are_refused(tmp_path: Path, elements: dict[str, Any], rule: str) -> None:
    with pytest.raises(PixelError, match=rule):
        read_image(written(tmp_path, **elements))


def test_no_pixels_and_no_decoder_are_refused(tmp_path: Path) -> None:
    dataset = image_dataset(PIXELS)
    del dataset.PixelData
    with pytest.raises(PixelError, match="Pixel Data"):
        read_image(save_image(dataset, tmp_path / "a.dcm"))
    movie = image_dataset(PIXELS, PixelData=encapsulate([b"xx"]))
    movie["PixelData"].is_undefined_length = True
    path = save_image(movie, tmp_path / "b.dcm", transfer_syntax_uid="1.2.840.10008.1.2.4.100")
    with pytest.raises(PixelError, match="no pinned decoder"):
        read_image(path)


def test_a_frame_count_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, NumberOfFrames="1234")
    path.write_bytes(path.read_bytes().replace(b"1234", b"1A34"))
    with pytest.raises(PixelError, match="Number of Frames"):
        read_image(path)
    with pytest.raises(PixelError, match="Number of Frames"):
        list(read_frames(path))


def test_deflated_is_not_offered() -> None:
    assert "1.2.840.10008.1.2.1.99" not in SUPPORTED_TRANSFER_SYNTAXES


def test_the_header_becomes_the_image_description(tmp_path: Path) -> None:
    image = read_image(
        written(
            tmp_path,
            WindowCenter=[100, 200],
            WindowWidth=[50, 60],
            VOILUTFunction="SIGMOID",
            WindowCenterWidthExplanation=["NORMAL", "HARD"],
            PixelPaddingValue=0,
            PixelPaddingRangeLimit=3,
            PatientOrientation=["L", "F"],
            ImagerPixelSpacing=[0.1, 0.1],
            PixelSpacing=[0.09, 0.09],
            ImageLaterality="L",
            PresentationLUTShape="INVERSE",
        )
    )
    assert [(w.center, w.width, w.explanation) for w in image.windows] == [(100, 50, "NORMAL"), (200, 60, "HARD")]
    assert image.windows[0].function is VoiFunction.SIGMOID
    assert image.padding == (0, 3)
    assert image.patient_orientation == ("L", "F")
    assert image.spacing_mm == (0.1, 0.1)
    assert image.spacing_source is SpacingSource.IMAGER_PIXEL_SPACING
    assert image.laterality == "L"
    assert image.inverted


@pytest.mark.parametrize(
    ("elements", "source"),
    [
        ({"PixelSpacing": [0.2, 0.2]}, SpacingSource.PIXEL_SPACING),
        (
            {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"},
            SpacingSource.PIXEL_SPACING_CALIBRATED,
        ),
        ({"PixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
)
def test_spacing_says_where_it_comes_from(
    tmp_path: Path, elements: dict[str, Any], source: SpacingSource | None
) -> None:
    assert read_image(written(tmp_path, **elements)).spacing_source is source


def baseline_jpeg(folder: Path, *, share: float = 1.0) -> Path:
    stream = io.BytesIO()
    Image.fromarray((PIXELS >> 4).astype(np.uint8)).save(stream, "JPEG", quality=95)
    frame = stream.getvalue()
    dataset = image_dataset((PIXELS >> 4).astype(np.uint8))
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    dataset["PixelData"].is_undefined_length = True
    return save_image(dataset, folder / "image.dcm", transfer_syntax_uid="1.2.840.10008.1.2.4.50")


def test_baseline_jpeg_is_close_to_what_was_stored(tmp_path: Path) -> None:
    decoded = read_image(baseline_jpeg(tmp_path)).pixels.astype(int)
    assert np.abs(decoded - (PIXELS >> 4)).mean() < 3


def test_truncated_baseline_jpeg_never_decodes(tmp_path: Path) -> None:
    with pytest.raises(PixelError, match="end-of-image"):
        read_image(baseline_jpeg(tmp_path, share=0.6))
