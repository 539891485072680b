# SPDX-License-Identifier: Apache-2.0
"""Turns a picture object into a PNG that a person can open without a DICOM viewer."""

from pathlib import Path

import pydicom
from PIL import Image


def write_preview(path: Path, png: Path) -> Path:
    """Write the pixels of a heatmap object as PNG and return where; its folder is made when absent.

    The picture shows no patient identity, but it is still a patient's image.
    """
    pixels = pydicom.dcmread(path).pixel_array
    png.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(png, format="PNG")
    return png
