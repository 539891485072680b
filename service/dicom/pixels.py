# SPDX-License-Identifier: Apache-2.0
"""Decodes pixel data with one pinned, strict decoder per transfer syntax, after checking what the object claims."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from service.dicom import codestream
from service.dicom.describe import describe_image
from service.dicom.entropy import prove_jpeg
from service.dicom.parsing import PARSE_FAULTS, quietly, refuse_deflated, transfer_syntax_uid
from service.domain.errors import DicomStructureError, PixelError
from service.domain.image import StoredImage, read_only

MAX_FRAME_PIXELS = 100_000_000
"""Four times the largest radiograph detector in use."""

MAX_RATIO = 1_000
"""Bytes of pixels out of one byte of a file, from UNSUSPICIOUS_BYTES on: a legal black film has some hundred."""
UNSUSPICIOUS_BYTES = 64 << 20

Check = Callable[[bytes], tuple[codestream.Claims | None, bytes]]


def _unclaimed(frame: bytes) -> tuple[None, bytes]:
    return None, codestream.check_rle(frame)


@dataclass(frozen=True, slots=True)
class Codec:
    """The decoder of one transfer syntax: pydicom's plugin name, the check made before it runs, the proof after."""

    plugin: str
    check: Check | None
    prove: Callable[[bytes, NDArray[Any]], None] | None = None


_NATIVE = Codec("", None)
_LIBJPEG = Codec("pylibjpeg", codestream.check_jpeg, prove_jpeg)
_CHARLS = Codec("pyjpegls", codestream.check_jpeg)
_OPENJPEG = Codec("pylibjpeg", codestream.check_jpeg_2000)
TRANSFER_SYNTAXES: dict[str, Codec] = {
    "1.2.840.10008.1.2": _NATIVE,
    "1.2.840.10008.1.2.1": _NATIVE,
    "1.2.840.10008.1.2.2": _NATIVE,
    "1.2.840.10008.1.2.4.50": Codec("pillow", codestream.check_jpeg, prove_jpeg),
    "1.2.840.10008.1.2.4.51": _LIBJPEG,
    "1.2.840.10008.1.2.4.57": _LIBJPEG,
    "1.2.840.10008.1.2.4.70": _LIBJPEG,
    "1.2.840.10008.1.2.4.80": _CHARLS,
    "1.2.840.10008.1.2.4.81": _CHARLS,
    "1.2.840.10008.1.2.4.90": _OPENJPEG,
    "1.2.840.10008.1.2.4.91": _OPENJPEG,
    "1.2.840.10008.1.2.4.201": _OPENJPEG,
    "1.2.840.10008.1.2.4.202": _OPENJPEG,
    "1.2.840.10008.1.2.4.203": _OPENJPEG,
    "1.2.840.10008.1.2.5": Codec("pylibjpeg", _unclaimed),
}
"""Deflated is missing on purpose: it inflates before anything can be checked."""
SUPPORTED_TRANSFER_SYNTAXES = tuple(TRANSFER_SYNTAXES)


def missing_decoders() -> tuple[str, ...]:
    """Return the transfer syntaxes whose pinned decoder is not installed; none, unless the installation is damaged."""
    pinned = {uid: codec.plugin for uid, codec in TRANSFER_SYNTAXES.items() if codec.plugin}
    return tuple(uid for uid, plugin in pinned.items() if plugin not in get_decoder(UID(uid)).available_plugins)


def read_image(path: Path, frame_number: int = 1) -> StoredImage:
    """Decode one frame (numbered from 1) of a monochrome image.

    Raises
    ------
    DicomStructureError
        The file cannot be parsed.
    PixelError
        The pixels are absent, in colour, too large, truncated, contradict the header, or do not decode.
    """
    return _decoded(_read_with_pixels(path), frame_number)


def read_frames(path: Path) -> Iterator[StoredImage]:
    """Decode all frames in stored order, parsing the file once; raises as `read_image` does."""
    dataset = _read_with_pixels(path)
    for frame_number in range(1, _frame_count(dataset) + 1):
        yield _decoded(dataset, frame_number)


@quietly()
def _read_with_pixels(path: Path) -> FileDataset:
    refuse_deflated(transfer_syntax_uid(path))
    try:
        return dcmread(path)
    except PARSE_FAULTS as error:
        raise DicomStructureError(f"data set cannot be parsed ({type(error).__name__}); send it again") from error


@quietly()
def _decoded(dataset: FileDataset, frame_number: int) -> StoredImage:
    codec = _codec(UID(dataset.file_meta.TransferSyntaxUID))
    try:
        _check_description(dataset, frame_number)
        pixels = _frame(dataset, codec, frame_number)
        return describe_image(dataset, read_only(_stored_values(pixels, dataset)), frame_number=frame_number)
    except (*PARSE_FAULTS, RuntimeError) as error:
        raise PixelError(
            f"frame {frame_number} does not decode ({type(error).__name__}: {_first_line(error)}); "
            "send the object again, or in another transfer syntax"
        ) from error


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _codec(uid: UID) -> Codec:
    if uid not in TRANSFER_SYNTAXES:
        raise PixelError(
            f"(0002,0010) 'Transfer Syntax UID' {uid} has no pinned decoder; accepted: "
            f"{', '.join(SUPPORTED_TRANSFER_SYNTAXES)}"
        )
    return TRANSFER_SYNTAXES[uid]


def _frame_count(dataset: FileDataset) -> int:
    try:
        return int(dataset.get("NumberOfFrames") or 1)
    except PARSE_FAULTS as error:
        raise PixelError("(0028,0008) 'Number of Frames' is no whole number (PS3.5 6.2 IS); correct it") from error


def _check_description(dataset: FileDataset, frame_number: int) -> None:
    if "PixelData" not in dataset:
        raise PixelError("(7FE0,0010) 'Pixel Data' is absent; only images with integer pixels can be analysed")
    if int(dataset.SamplesPerPixel) != 1 or not dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        raise PixelError(
            f"(0028,0004) 'Photometric Interpretation' is {dataset.PhotometricInterpretation!r}; "
            "only MONOCHROME1 and MONOCHROME2 are analysed"
        )
    pixels = int(dataset.Rows) * int(dataset.Columns)
    if not 0 < pixels <= MAX_FRAME_PIXELS:
        raise PixelError(
            f"(0028,0010) 'Rows' x (0028,0011) 'Columns' is {pixels}; a frame has 1 to {MAX_FRAME_PIXELS} pixels"
        )
    if not 1 <= frame_number <= _frame_count(dataset):
        raise PixelError(f"frame {frame_number} does not exist; the image has {_frame_count(dataset)}")
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in {8, 16, 32} or not 1 <= stored <= allocated:
        raise PixelError(
            f"(0028,0100) 'Bits Allocated' {allocated} with (0028,0101) 'Bits Stored' {stored}; "
            "8, 16 or 32 bits with at most as many stored are decoded"
        )
    _check_ratio(dataset)


def _check_ratio(dataset: FileDataset) -> None:
    """Refuse a little file that claims a lot, all frames together, before a decoder makes room for it."""
    frame_bytes = int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated) // 8
    claimed, held = frame_bytes * _frame_count(dataset), len(dataset.PixelData)
    if claimed > UNSUSPICIOUS_BYTES and claimed > MAX_RATIO * held:
        raise PixelError(
            f"(7FE0,0010) 'Pixel Data' has {held} bytes and claims {claimed // max(held, 1)} times its size by "
            f"(0028,0010) 'Rows', (0028,0011) 'Columns' and (0028,0008) 'Number of Frames'; {MAX_RATIO} are decoded"
        )


def _frame(dataset: FileDataset, codec: Codec, frame_number: int) -> NDArray[Any]:
    if codec.check is None:
        return _native(dataset, frame_number)
    frame = get_frame(dataset.PixelData, frame_number - 1, number_of_frames=_frame_count(dataset))
    claims, checked = codec.check(frame)
    if claims is not None:
        _check_claims(claims, dataset)
    pixels = _compressed(dataset, codec.plugin, checked)
    if codec.prove is not None:
        codec.prove(checked, pixels)
    return pixels


def _native(dataset: FileDataset, frame_number: int) -> NDArray[Any]:
    """Return one uncompressed frame, a view of the file's bytes."""
    rows, columns, width = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated) // 8
    expected = rows * columns * width * _frame_count(dataset)
    held = len(dataset.PixelData)
    if held < expected:
        raise PixelError(f"(7FE0,0010) 'Pixel Data' has {held} bytes, {expected} were announced; it is truncated")
    kind = "i" if int(dataset.PixelRepresentation) else "u"
    order = "<" if UID(dataset.file_meta.TransferSyntaxUID).is_little_endian else ">"
    array = np.frombuffer(
        dataset.PixelData,
        dtype=f"{order}{kind}{width}",
        count=rows * columns,
        offset=rows * columns * width * (frame_number - 1),
    )
    return array.reshape(rows, columns).astype(f"{kind}{width}", copy=False)


def _compressed(dataset: FileDataset, plugin: str, frame: bytes) -> NDArray[Any]:
    """Decode exactly the bytes that were checked, with the pinned plugin and no other."""
    decoder = get_decoder(UID(dataset.file_meta.TransferSyntaxUID))
    array, _ = decoder.as_array(
        encapsulate([frame]), index=0, raw=True, decoding_plugin=plugin, **_decoding_options(dataset)
    )
    if array.shape != (int(dataset.Rows), int(dataset.Columns)):
        raise PixelError(f"decoded frame has shape {array.shape}, not Rows x Columns")
    return array


def _check_claims(claims: codestream.Claims, dataset: FileDataset) -> None:
    described = (int(dataset.Rows), int(dataset.Columns), 1)
    claimed = (claims.rows, claims.columns, claims.components)
    if claimed != described or claims.bits > int(dataset.BitsAllocated):
        raise PixelError(
            f"codestream claims rows, columns, components {claimed} of {claims.bits} bits, the header says "
            f"{described} of {int(dataset.BitsAllocated)}; correct the object"
        )


def _decoding_options(dataset: FileDataset) -> dict[str, Any]:
    return {
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": str(dataset.PhotometricInterpretation),
        "pixel_representation": int(dataset.PixelRepresentation),
        "bits_allocated": int(dataset.BitsAllocated),
        "bits_stored": int(dataset.BitsStored),
        "pixel_keyword": "PixelData",
    }


def _stored_values(pixels: NDArray[Any], dataset: FileDataset) -> NDArray[Any]:
    """Drop the bits outside Bits Stored (old overlays live there) and extend the sign (PS3.5 8.1.1)."""
    allocated, stored = pixels.dtype.itemsize * 8, int(dataset.BitsStored)
    if stored >= allocated:
        return pixels
    uncompressed = _codec(UID(dataset.file_meta.TransferSyntaxUID)).check is None
    high = int(dataset.get("HighBit", stored - 1)) if uncompressed else stored - 1
    if not stored - 1 <= high < allocated:
        raise PixelError(f"(0028,0102) 'High Bit' {high} does not fit Bits Stored {stored}; correct the object")
    values: NDArray[Any] = np.left_shift(pixels, allocated - 1 - high)
    np.right_shift(values, allocated - stored, out=values)
    return values
