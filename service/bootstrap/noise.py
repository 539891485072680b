# SPDX-License-Identifier: Apache-2.0
"""Replaces the pixels of a DICOM file by noise: an image that no pipeline may analyse."""

import io

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian


def with_noise(data: bytes, *, seed: int) -> bytes:
    """Return the file, uncompressed, with uniform noise over its stored bits in place of its pixels."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    frames = int(dataset.get("NumberOfFrames") or 1)
    shape = (frames, int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel))
    kind = np.uint8 if dataset.BitsAllocated == 8 else np.dtype("<u2")
    noise = np.random.default_rng(seed).integers(0, 1 << int(dataset.BitsStored), size=shape, dtype=kind)
    dataset.PixelData = noise.tobytes()
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return stream.getvalue()
