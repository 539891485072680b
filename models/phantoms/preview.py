# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: what a study's images look like to a reader, a few of them side by side in one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.dicom.pixels import read_image
from service.imaging.grayscale import to_presentation


def picture_of(path: Path, *, height: int) -> Image.Image:
    """Return one image through its own grey scale, `height` pixels high."""
    shown = to_presentation(read_image(path))
    grey = Image.fromarray(np.rint(shown * 255).astype(np.uint8))
    return grey.resize((max(1, round(grey.width * height / grey.height)), height), Image.Resampling.BOX)


def write_preview(paths: Sequence[Path], png: Path, *, most: int = 6, height: int = 320) -> Path:
    """Write up to `most` images of a study, evenly chosen, in one row."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))
    return save_sheet([[picture_of(paths[place], height=height) for place in places]], png)


def save_sheet(rows: Sequence[Sequence[Image.Image]], png: Path, *, gap: int = 4) -> Path:
    """Write rows of pictures as one PNG of grey values, black between them."""
    width = max(sum(picture.width + gap for picture in row) - gap for row in rows)
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("L", (width, sum(heights) + gap * (len(rows) - 1)))
    top = 0
    for row, tall in zip(rows, heights, strict=True):
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + gap
        top += tall + gap
    png.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(png, format="PNG", optimize=True)
    return png


def windowed(hounsfield: NDArray[np.floating], *, centre: float, width: float) -> Image.Image:
    """Return Hounsfield units through a window."""
    shown = np.clip((hounsfield - centre) / width + 0.5, 0, 1)
    return Image.fromarray(np.rint(shown * 255).astype(np.uint8))
