# SPDX-License-Identifier: Apache-2.0
"""Damaged and overbearing pixel data never become an image: cut at the end, in the middle, between fragments."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from harness.images import image_dataset, save_image
from harness.lossless_jpeg import encode
from service.dicom.pixels import read_frames, read_image
from service.domain.errors import DicomStructureError, InputError, PixelError

RNG = np.random.default_rng(5)
GRADIENT = np.add.outer(np.arange(128), np.arange(128)).astype(np.uint16) * 8
NOISY = (GRADIENT + RNG.integers(0, 64, (128, 128))).astype(np.uint16)
LOSSLESS, BASELINE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50"
WRITABLE = {
    "1.2.840.10008.1.2.1": "Explicit VR",
    "1.2.840.10008.1.2": "Implicit VR",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE",
    LOSSLESS: "lossless JPEG",
    BASELINE: "baseline JPEG",
}


def baseline() -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray((NOISY >> 4).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def codestream(syntax: str, tmp_path: Path) -> bytes:
    if syntax == LOSSLESS:
        return encode(NOISY)
    if syntax == BASELINE:
        return baseline()
    dataset = dcmread(save_image(image_dataset(NOISY), tmp_path / "coded.dcm", transfer_syntax_uid=syntax))
    return next(generate_frames(dataset.PixelData)) if UID(syntax).is_encapsulated else dataset.PixelData


def with_pixels(path: Path, syntax: str, pixels: bytes, **elements: int) -> Path:
    dataset = image_dataset((NOISY >> 4).astype(np.uint8) if syntax == BASELINE else NOISY, **elements)
    if UID(syntax).is_encapsulated:
        dataset.PixelData = encapsulate([pixels])
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.PixelData = pixels
    return save_image(dataset, path / "image.dcm", transfer_syntax_uid=syntax)


@pytest.mark.parametrize("syntax", WRITABLE)
def test_an_undamaged_frame_decodes(tmp_path: Path, syntax: str) -> None:
    image = read_image(with_pixels(tmp_path, syntax, codestream(syntax, tmp_path)))
    if syntax != BASELINE:
        np.testing.assert_array_equal(image.pixels, NOISY)


@pytest.mark.parametrize("share", [0.99, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("syntax", WRITABLE)
def test_a_truncated_frame_is_refused(tmp_path: Path, syntax: str, share: float) -> None:
    frame = codestream(syntax, tmp_path)
    with pytest.raises(InputError):
        read_image(with_pixels(tmp_path, syntax, frame[: int(len(frame) * share) & ~1]))


@pytest.mark.parametrize("syntax", [LOSSLESS, BASELINE, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
@pytest.mark.parametrize("lost", [0.01, 0.1, 0.5])
def test_a_frame_that_lost_its_middle_and_kept_its_end_is_refused(tmp_path: Path, syntax: str, lost: float) -> None:
    frame = codestream(syntax, tmp_path)
    middle, gap = len(frame) // 2, int(len(frame) * lost / 2)
    with pytest.raises(InputError):
        read_image(with_pixels(tmp_path, syntax, frame[: middle - gap] + frame[middle + gap :]))


@pytest.mark.parametrize("syntax", [LOSSLESS, BASELINE])
@pytest.mark.parametrize("share", [0.99, 0.9, 0.5])
def test_a_frame_that_was_cut_and_closed_is_refused(tmp_path: Path, syntax: str, share: float) -> None:
    frame = codestream(syntax, tmp_path)
    with pytest.raises(PixelError, match="truncated"):
        read_image(with_pixels(tmp_path, syntax, frame[: int(len(frame) * share)] + b"\xff\xd9"))


def test_an_all_black_image_is_no_bomb(tmp_path: Path) -> None:
    black = np.zeros((4096, 4096), dtype=np.uint16)
    for syntax in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"):
        path = save_image(image_dataset(black), tmp_path / "black.dcm", transfer_syntax_uid=syntax)
        assert not read_image(path).pixels.any()


def test_more_than_64_mib_out_of_next_to_nothing_is_refused_before_a_decoder_sees_it(tmp_path: Path) -> None:
    black = np.zeros((64, 64), dtype=np.uint16)
    path = save_image(image_dataset(black), tmp_path / "a.dcm", transfer_syntax_uid="1.2.840.10008.1.2.4.90")
    dataset = dcmread(path)
    dataset.Rows = dataset.Columns = 9_000
    dataset.save_as(path)
    with pytest.raises(PixelError, match="times its size"):
        read_image(path)


def test_all_frames_together_have_a_limit(tmp_path: Path) -> None:
    path = with_pixels(tmp_path, "1.2.840.10008.1.2.1", bytes(128), NumberOfFrames=100_000_000)
    for read in (read_image, lambda file: list(read_frames(file))):
        with pytest.raises(PixelError, match="Number of Frames"):
            read(path)


def damaged(change: Callable[[bytes], bytes], tmp_path: Path) -> Path:
    """A JPEG-LS file of two frames whose encapsulated bytes were changed."""
    syntax = "1.2.840.10008.1.2.4.80"
    frames = [codestream(syntax, tmp_path)] * 2
    dataset = image_dataset(NOISY, NumberOfFrames=2)
    dataset.PixelData = change(encapsulate(frames))
    dataset["PixelData"].is_undefined_length = True
    return save_image(dataset, tmp_path / "movie.dcm", transfer_syntax_uid=syntax)


def test_an_offset_table_must_fit_its_fragments(tmp_path: Path) -> None:
    assert len(list(read_frames(damaged(lambda data: data, tmp_path)))) == 2
    wrong = (
        lambda data: data[:12] + (1 << 31).to_bytes(4, "little") + data[16:],
        lambda data: data[:8] + (8).to_bytes(4, "little") + data[12:],
        lambda data: data[:12] + (2).to_bytes(4, "little") + data[16:],
    )
    for change in wrong:
        with pytest.raises((PixelError, DicomStructureError)):
            list(read_frames(damaged(change, tmp_path)))


@pytest.mark.real_data
def test_real_lossless_frames_are_proved_and_their_losses_seen(real_data_folder: Path, tmp_path: Path) -> None:
    seen = 0
    for path in sorted((real_data_folder / "dicom_pydicom_data").rglob("*JPEG-LL*")) + sorted(
        (real_data_folder / "dicom_pydicom").rglob("JPEG-LL.dcm")
    ):
        dataset = dcmread(path)
        if dataset.PhotometricInterpretation != "MONOCHROME2":
            continue
        read_image(path)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        middle = len(frame) // 2
        dataset.PixelData = encapsulate([frame[:middle] + frame[middle + 500 :]])
        dataset.save_as(tmp_path / "cut.dcm")
        with pytest.raises(PixelError):
            read_image(tmp_path / "cut.dcm")
        seen += 1
    assert seen
