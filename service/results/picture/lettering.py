# SPDX-License-Identifier: Apache-2.0
"""Draws text on pictures: one typeface, wrapped lines, letters that stand out from any anatomy.

English is set in the typeface inside Pillow, Japanese in the one of `fonts` (BIZ UDPGothic, SIL Open Font License).
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import as_file, files
from math import atan2, degrees
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from service.results.words.statements import latin

Colour = tuple[int, int, int]
WHITE: Colour = (245, 245, 245)
GREY: Colour = (165, 165, 170)
AMBER: Colour = (255, 190, 60)
BLACK: Colour = (0, 0, 0)
LINE_SPACING = 1.32
MORE = "... more than fits here, see the report"
"""The last line of a column that has no room for all that it should say."""
TYPEFACE = "BIZUDPGothic-Regular.ttf"
JAPANESE_UNIT = re.compile(r"[!-~]+(?: (?:%|mm\b))?|[^\x00-\x7f][、。,.:;)」』】ーっゃゅょッャュョァィゥェォ々・]*| +")
"""What stays on one line: a Latin word with its unit, a character with what may not begin a line."""


def font(size: int, text: str = "") -> Any:
    """Return the typeface for a text at a height in pixels."""
    return _latin_font(size) if text.isascii() else _japanese_font(size)


@cache
def _latin_font(size: int) -> Any:
    return ImageFont.load_default(size)


@cache
def _japanese_font(size: int) -> Any:
    with as_file(files("service.results").joinpath("fonts", TYPEFACE)) as path:
        return ImageFont.truetype(str(path), size)


def drawable(text: str) -> str:
    """Return the text if the typeface has its characters, else what of it can be said in ASCII."""
    try:
        text.encode("iso2022_jp")
    except UnicodeEncodeError:
        return latin(text)
    return text if text.isprintable() else latin(text)


def line_height(size: int) -> int:
    """Return the distance between lines, in pixels."""
    return round(size * LINE_SPACING)


def fitting(text: str, *, size: int, width: int) -> Any:
    """Return the typeface at the largest height up to `size` at which the text fits the width."""
    while size > 8 and _width(text, size) > width:
        size -= 1
    return font(size, text)


def _width(text: str, size: int) -> float:
    return float(font(size, text).getlength(text))


def wrap(text: str, *, size: int, width: int) -> list[str]:
    """Break the text into lines that fit the width; a word that is too long stands alone and is cut."""
    clean = drawable(text).strip()
    face = font(size, clean)
    lines: list[str] = []
    line = ""
    for unit in _units(clean):
        longer = (line + unit).lstrip()
        if line and face.getlength(longer.rstrip()) > width:
            lines.append(line.rstrip())
            longer = unit.lstrip()
        line = longer
    return [_cut(entry, face=face, width=width) for entry in [*lines, line.rstrip()] if entry]


def _units(text: str) -> list[str]:
    """Return what is kept together on a line, the blanks before it included.

    A number and its unit stay together: "12 %" must not end one line and begin the next.
    """
    if not text.isascii():
        return JAPANESE_UNIT.findall(text)
    return [f" {word}" for word in re.split(r"\s+(?!%|mm\b)", text)]


def _cut(line: str, *, face: Any, width: int) -> str:
    if face.getlength(line) <= width:
        return line
    line = line[: width // 3]  # no letter is narrower than three pixels; measuring thousands of them takes seconds
    while line and face.getlength(f"{line}..") > width:
        line = line[:-1]
    return f"{line}.."


@dataclass(slots=True)
class Column:
    """A column of text that is filled from the top and stops at the bottom, saying that it goes on elsewhere."""

    draw: Any
    left: int
    top: int
    width: int
    bottom: int
    more: str = MORE
    is_full: bool = False

    def write(self, text: str, *, size: int, fill: Colour = WHITE, gap: float = 0.4) -> bool:
        """Write a paragraph and the gap after it; False when it did not fit whole, after which nothing does."""
        step, face = line_height(size), font(size, drawable(text))
        for line in wrap(text, size=size, width=self.width):
            if self.is_full or self.top + step > self.bottom:
                self._close(size)
                return False
            self.draw.text((self.left, self.top), line, font=face, fill=fill)
            self.top += step
        self.top += round(size * gap)
        return True

    def _close(self, size: int) -> None:
        """Write once, below the last line, that words are missing: what is cut in silence misleads."""
        if not self.is_full:
            self.draw.text((self.left, self.top), self.more, font=font(size, self.more), fill=AMBER)
        self.is_full = True


def outlined(
    draw: Any, position: tuple[float, float], text: str, *, size: int, fill: Colour = WHITE, anchor: str
) -> None:
    """Write one line with a dark edge, legible on black and on white."""
    stroke = max(1, size // 9)
    words = drawable(text)
    face = font(size, words)
    draw.text(position, words, font=face, fill=fill, anchor=anchor, stroke_width=stroke, stroke_fill=BLACK)


def watermark(picture: Image.Image, text: str) -> Image.Image:
    """Write the text along the diagonal, seen through: it cannot be overlooked and hides nothing."""
    result = picture.convert("RGBA")
    result.alpha_composite(_watermark_layer(*picture.size, text))
    return result.convert("RGB")


@lru_cache(maxsize=4)
def _watermark_layer(width: int, height: int, text: str) -> Image.Image:
    """Return the text along the diagonal on a transparent ground; the pictures of a study are of few sizes."""
    diagonal = (width**2 + height**2) ** 0.5
    size = max(10, round(30 * 0.8 * diagonal / _width(text, 30)))
    layer = Image.new("RGBA", (round(diagonal), size * 2), (0, 0, 0, 0))
    ImageDraw.Draw(layer).text(
        (diagonal / 2, size),
        text,
        font=font(size, text),
        fill=(255, 255, 255, 78),
        anchor="mm",
        stroke_width=max(1, size // 22),
        stroke_fill=(0, 0, 0, 78),
    )
    angle = _diagonal_angle(width, height)
    return _centred(layer.rotate(angle, expand=True, resample=Image.Resampling.BILINEAR), (width, height))


def _diagonal_angle(width: int, height: int) -> float:
    """Return the angle, in degrees, from the bottom left to the top right corner."""
    return degrees(atan2(height, width))


def _centred(layer: Image.Image, size: tuple[int, int]) -> Image.Image:
    left, top = (layer.width - size[0]) // 2, (layer.height - size[1]) // 2
    return layer.crop((left, top, left + size[0], top + size[1]))
