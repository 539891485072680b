# SPDX-License-Identifier: Apache-2.0
"""The transfer syntaxes that a study may come in: compressed by pydicom's encoders, or by DCMTK where it has none."""

import io
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from models.phantoms.variants.stored import Edit, bits, values_of
from service.domain.errors import ConfigurationError

DCMCJPEG = "dcmcjpeg"
_METHODS = {JPEG2000: "ISO_15444_1", JPEGLSNearLossless: "ISO_14495_1", JPEGBaseline8Bit: "ISO_10918_1"}


def uncompressed(uid: UID) -> Edit:
    """Return the edit that has the file written in an uncompressed syntax."""

    def edit(image: Dataset) -> None:
        if uid == ExplicitVRBigEndian:
            image.PixelData = values_of(image).astype(">u2").tobytes()
        image.file_meta.TransferSyntaxUID = uid

    return edit


def compressed(uid: UID, plugin: str, **options: Any) -> Edit:
    """Return the edit that compresses with one of pydicom's encoders; a lossy one is told of in the header."""

    def edit(image: Dataset) -> None:
        before = len(image.PixelData)
        image.compress(uid, encoding_plugin=plugin, generate_instance_uid=False, **options)
        if uid in _METHODS:
            _tell_lossy(image, uid, ratio=before / len(image.PixelData))

    return edit


def jpeg_baseline(image: Dataset) -> None:
    """Reduce the picture to 8 bits and compress it with JPEG baseline (process 1)."""
    bits(8)(image)
    before, frame = len(image.PixelData), io.BytesIO()
    Image.fromarray(values_of(image).astype(np.uint8)).save(frame, format="JPEG", quality=95)
    image.PixelData = encapsulate([frame.getvalue()])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    _tell_lossy(image, JPEGBaseline8Bit, ratio=before / len(frame.getvalue()))


def _tell_lossy(image: Dataset, uid: UID, *, ratio: float) -> None:
    image.LossyImageCompression = "01"
    image.LossyImageCompressionRatio = round(ratio, 1)
    image.LossyImageCompressionMethod = _METHODS[uid]


def dcmtk(*options: str) -> Edit:
    """Return the edit that lets DCMTK's dcmcjpeg compress: JPEG lossless, and JPEG extended of 12 bits.

    Raises (the edit)
    -----------------
    ConfigurationError
        dcmcjpeg is not installed, or fails.
    """

    def edit(image: Dataset) -> None:
        if shutil.which(DCMCJPEG) is None:
            raise ConfigurationError(f"this variant needs {DCMCJPEG}; install DCMTK (Debian: apt-get install dcmtk)")
        with tempfile.TemporaryDirectory() as folder:
            plain, packed = Path(folder, "plain.dcm"), Path(folder, "packed.dcm")
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.save_as(plain, enforce_file_format=True)
            command = [DCMCJPEG, *options, "--uid-never", str(plain), str(packed)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise ConfigurationError(f"{DCMCJPEG} failed: {' '.join(ended.stderr.split())[:200]}")
            made = dcmread(packed)
        image.clear()
        image.update({element.tag: element for element in made})
        image.file_meta.TransferSyntaxUID = made.file_meta.TransferSyntaxUID

    return edit


IMPLICIT = uncompressed(ImplicitVRLittleEndian)
BIG_ENDIAN = uncompressed(ExplicitVRBigEndian)
DEFLATED = uncompressed(DeflatedExplicitVRLittleEndian)
RLE = compressed(RLELossless, "pylibjpeg")
JPEG_LS = compressed(JPEGLSLossless, "pyjpegls")
JPEG_LS_NEAR = compressed(JPEGLSNearLossless, "pyjpegls", jls_error=2)
JPEG_2000 = compressed(JPEG2000Lossless, "pylibjpeg")
JPEG_2000_LOSSY = compressed(JPEG2000, "pylibjpeg", j2k_cr=[6])
JPEG_LOSSLESS_SV1 = dcmtk("--encode-lossless-sv1")
JPEG_LOSSLESS = dcmtk("--encode-lossless")
JPEG_EXTENDED = dcmtk("--encode-extended", "--quality", "95")
