# SPDX-License-Identifier: Apache-2.0
"""Opens images of a site or a public set: DICOM by the node's own code, pictures as if they had come through it."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.data.problem import DataError
from service.dicom.pixels import read_image
from service.domain.image import Radiograph, SpacingSource, StoredImage, read_only
from service.imaging.radiograph import as_chest_radiograph

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_BITS = {"L": 8, "I;16": 16, "I": 16}


def is_picture(path: Path) -> bool:
    """Whether the file is a picture by its name, and not DICOM."""
    return path.suffix.lower() in PICTURES


def stored_image(path: Path, *, pixel_size_mm: float | None = None) -> StoredImage:
    """Decode one image.

    Parameters
    ----------
    pixel_size_mm
        Of a picture, which cannot say it itself; DICOM files are believed instead.

    Raises
    ------
    DataError
        A picture that is not grey, or cannot be read.
    DicomStructureError, PixelError
        As `service.dicom.pixels.read_image`.
    """
    return _picture(path, pixel_size_mm) if is_picture(path) else read_image(path)


def radiograph(path: Path, *, pixel_size_mm: float | None = None) -> Radiograph:
    """Return the image as the pipelines see it: float32 in [0, 1], upright where the file says how it lies."""
    return as_chest_radiograph(stored_image(path, pixel_size_mm=pixel_size_mm))


def pixel_hash(path: Path) -> str:
    """Return the SHA-256 of the shape and the stored values: the same image in another file has the same."""
    pixels = stored_image(path).pixels
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels, dtype="<i8").tobytes())
    return digest.hexdigest()


def _picture(path: Path, pixel_size_mm: float | None) -> StoredImage:
    try:
        with Image.open(path) as opened:
            picture = _grey(opened, path)
            pixels = np.asarray(picture)
            bits = _BITS[picture.mode]
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path.name} cannot be read as a picture ({error}); get it again") from error
    return StoredImage(
        sop_instance_uid="",
        pixels=read_only(pixels.astype(np.uint8 if bits == 8 else np.uint16)),
        bits_stored=bits,
        photometric_interpretation="MONOCHROME2",
        spacing_mm=None if pixel_size_mm is None else (pixel_size_mm, pixel_size_mm),
        spacing_source=None if pixel_size_mm is None else SpacingSource.PIXEL_SPACING,
    )


def _grey(picture: Image.Image, path: Path) -> Image.Image:
    """Return the picture in a grey mode; colour channels must agree, and transparency is left away."""
    if picture.mode in _BITS:
        return picture
    if picture.mode in {"RGB", "RGBA", "LA", "P"}:
        channels = np.asarray(picture.convert("RGB"))
        if (channels[..., 0] == channels[..., 1]).all() and (channels[..., 0] == channels[..., 2]).all():
            return Image.fromarray(channels[..., 0])
    raise DataError(f"{path.name} has mode {picture.mode!r} and is not grey; only grey images are taken, convert it")
