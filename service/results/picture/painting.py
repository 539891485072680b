# SPDX-License-Identifier: Apache-2.0
"""Paints what a radiologist sees in a viewer that knows only images: heatmap, marks, result, legend, warnings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.domain.result import Heatmap, Mark, Outcome, PipelineResult
from service.results.picture.colours import bar, blend
from service.results.picture.lettering import (
    AMBER,
    GREY,
    MORE,
    WHITE,
    Colour,
    Column,
    fitting,
    line_height,
    outlined,
    watermark,
    wrap,
)
from service.results.words.statements import is_demonstration
from service.results.words.wording import ENGLISH, Words, headline, package_line, reason_line

MIN_ROWS, MAX_ROWS = 900, 1600
"""A smaller base is enlarged until burnt-in letters are sharp; a larger one is reduced to what a screen shows."""
BACKGROUND: Colour = (14, 16, 20)
STRIP: Colour = (74, 46, 0)
MARK: Colour = (60, 230, 255)
RED: Colour = (255, 110, 90)


@dataclass(frozen=True, slots=True)
class Painted:
    """A painted page: RGB pixels, and how many of its pixels one pixel of the base became (rows, columns)."""

    pixels: NDArray[np.uint8]
    scale: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Place of a picture in its series, what it shows ("CR PA", "MG R CC"), and the words that are burnt in.

    `left_out` counts the pictures that this destination does not take.
    """

    number: int
    count: int
    subject: str = ""
    left_out: int = 0
    words: Words = ENGLISH

    @property
    def place(self) -> str:
        """The place in words; pictures that are missing are said to be, or one of four views looks like all."""
        place = f"{self.words.term('Picture')} {self.number}/{self.count}"
        return f"{place}, {self.words.term('not sent here')}: {self.left_out}" if self.left_out else place


def paint_heatmap(heatmap: Heatmap, result: PipelineResult, page: Page) -> Painted:
    """Return base, overlay and marks on the left (top-left corners coincide), the panel on the right."""
    anatomy, scale = paint_anatomy(heatmap, result, page.words)
    panel = _panel(result, page, rows=anatomy.height, heatmap=heatmap)
    return Painted(np.hstack((np.asarray(anatomy), np.asarray(panel))), scale)


def paint_anatomy(heatmap: Heatmap, result: PipelineResult, words: Words) -> tuple[Image.Image, tuple[float, float]]:
    """Return base, overlay and marks without the panel, and the scale of `Painted`."""
    rows, columns = _target_size(*heatmap.base.shape)
    scale = (rows / heatmap.base.shape[0], columns / heatmap.base.shape[1])
    image = Image.fromarray(_blended(heatmap, rows=rows, columns=columns))
    if is_demonstration(result):
        image = watermark(image, words.demonstration_banner)
    draw = ImageDraw.Draw(image)
    for mark in heatmap.marks:
        _draw_mark(draw, mark, scale=scale, rows=rows)
    _draw_orientation(draw, heatmap.patient_orientation, rows=rows, columns=columns)
    place = (columns / 2, rows - rows // 80)
    outlined(draw, place, words.research_banner, size=rows // 50, fill=AMBER, anchor="ms")
    return image, scale


def paint_page(result: PipelineResult, page: Page) -> Painted:
    """Return a page of text, for a result without a picture, above all "NOT ANALYSED"."""
    words = page.words
    image = Image.new("RGB", (1280, 1024), BACKGROUND)
    column = opened(image, result, words, size=30)
    is_refusal = result.outcome is Outcome.NOT_ANALYSED
    column.write(pipeline_title(result, words), size=30, fill=GREY)
    column.write(words.outcomes[result.outcome], size=92, fill=RED if is_refusal else WHITE)
    if is_refusal:  # before the reasons, which may be more than the page can hold
        column.write(words.not_negative_sentence, size=34, fill=AMBER, gap=1)
    else:
        column.write(headline(result, words), size=48, gap=0.8)
    for reason in result.refusals:
        column.write(words.reason(reason), size=38)
    _write_details(column, result, words, size=28)
    write_footer(image, result, page, size=22, margin=30)
    return Painted(np.asarray(image), (1.0, 1.0))


def pipeline_title(result: PipelineResult, words: Words) -> str:
    """Return what the picture is the result of."""
    return f"Dokuei - {words.pipeline(result.pipeline)}"


def _target_size(rows: int, columns: int) -> tuple[int, int]:
    target = min(max(rows, MIN_ROWS), MAX_ROWS)
    target = min(target, round(MAX_ROWS * rows / max(columns, 1)))
    return max(target, 64), max(round(columns * max(target, 64) / rows), 64)


def _blended(heatmap: Heatmap, *, rows: int, columns: int) -> NDArray[np.uint8]:
    size = (columns, rows)
    base = Image.fromarray(heatmap.base).resize(size, Image.Resampling.BICUBIC)
    overlay = np.fmax(heatmap.overlay.astype(np.float32), 0)  # not a number becomes 0: it would spread
    smooth = Image.fromarray(overlay).resize(size, Image.Resampling.BILINEAR)
    return blend(np.asarray(base), np.asarray(smooth))


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark, *, scale: tuple[float, float], rows: int) -> None:
    points = [(x * scale[1], y * scale[0]) for x, y in mark.points]
    if len(points) < 2:
        return
    width = max(2, rows // 400)
    closed = [*points, points[0]]
    draw.line(closed, fill=(0, 0, 0), width=width + 4, joint="curve")
    draw.line(closed, fill=MARK, width=width, joint="curve")
    _write_caption(draw, mark.caption, points, size=max(14, rows // 45))


def _write_caption(draw: ImageDraw.ImageDraw, caption: str, points: list[tuple[float, float]], *, size: int) -> None:
    """Write the caption above the outline, or inside it where there is no room above."""
    if not caption:
        return
    left, top = min(point[0] for point in points), min(point[1] for point in points)
    has_room = top > size * 1.5
    position = (left, top - size * 0.35) if has_room else (left + size * 0.4, top + size * 0.3)
    outlined(draw, position, caption, size=size, fill=MARK, anchor="ls" if has_room else "la")


OPPOSITE = str.maketrans("LRAPHFlrapf", "RLPAFHrlpah")


def _draw_orientation(
    draw: ImageDraw.ImageDraw, orientation: tuple[str, str] | None, *, rows: int, columns: int
) -> None:
    """Write the directions of Patient Orientation (PS3.3 C.7.6.1.1.1) at the edges that they point to."""
    if orientation is None:
        return
    right, bottom = (entry.upper() for entry in orientation)
    size, edge = max(16, rows // 36), rows // 90
    places = (
        (right, (columns - edge, rows / 2), "rm"),
        (right.translate(OPPOSITE), (edge, rows / 2), "lm"),
        (bottom.translate(OPPOSITE), (columns / 2, edge), "ma"),
        (bottom, (columns / 2, rows - rows // 22), "ms"),
    )
    for words, position, anchor in places:
        outlined(draw, position, words, size=size, anchor=anchor)


def _panel(result: PipelineResult, page: Page, *, rows: int, heatmap: Heatmap) -> Image.Image:
    image = Image.new("RGB", (round(rows * 0.56), rows), BACKGROUND)
    unit, words = rows // 44, page.words
    column = opened(image, result, words, size=unit)
    column.write(" - ".join(filter(None, (pipeline_title(result, words), page.subject))), size=unit, fill=GREY)
    column.write(headline(result, words), size=round(unit * 1.55), gap=0.6)
    if result.outcome is Outcome.PARTLY_ANALYSED:
        column.write(reason_line(result, words), size=unit, fill=RED)
    for line in heatmap.lines:
        column.write(words.line(line), size=unit, gap=0.15)
    column.top += unit
    _draw_legend(image, column, words.line(heatmap.legend), unit=unit)
    _write_details(column, result, words, size=round(unit * 0.82))
    write_footer(image, result, page, size=round(unit * 0.74), margin=unit)
    return image


def opened(image: Image.Image, result: PipelineResult, words: Words, *, size: int) -> Column:
    """Paint the warning strip at the top and return the column below it, the footer's room left free."""
    draw = ImageDraw.Draw(image)
    demonstration = [words.demonstration_banner] if is_demonstration(result) else []
    warnings = [*demonstration, words.research_banner]
    height = round(size * (1.4 * len(warnings) + 0.6))
    draw.rectangle((0, 0, image.width, height), fill=STRIP)
    for line, warning in enumerate(warnings):
        place = (image.width / 2, size * (1 + 1.4 * line))
        draw.text(place, warning, font=fitting(warning, size=size, width=image.width - size), fill=AMBER, anchor="mm")
    bottom = image.height - size * 5 - line_height(size)
    return Column(draw, size, height + size, image.width - 2 * size, bottom, more=words.term(MORE))


def _draw_legend(image: Image.Image, column: Column, legend: str, *, unit: int) -> None:
    column.write(legend, size=round(unit * 0.9), fill=GREY, gap=0.1)
    strip = bar(column.width, unit)
    if column.top + 3 * unit > column.bottom:
        return
    image.paste(Image.fromarray(strip), (column.left, column.top))
    column.top += round(unit * 1.25)
    for words, place, anchor in (("0", column.left, "la"), ("1", column.left + column.width, "ra")):
        outlined(column.draw, (place, column.top), words, size=round(unit * 0.8), fill=GREY, anchor=anchor)
    column.top += round(unit * 2)


def _write_details(column: Column, result: PipelineResult, words: Words, *, size: int) -> None:
    for line in result.summary:
        column.write(words.line(line), size=size, gap=0.15)
    for flag in result.flags:
        column.write(f"{words.term('Note')}: {words.reason(flag)}", size=size, fill=AMBER, gap=0.15)


def write_footer(image: Image.Image, result: PipelineResult, page: Page, *, size: int, margin: int) -> None:
    """Write what made the picture, and that nobody has verified it, above the lower edge."""
    say = page.words.term
    lines = (
        f"{say('Model package')}: {package_line(result, page.words)}",
        f"{say('Analysed at')} {result.analysed_at:%Y-%m-%d %H:%M %Z} - {page.place}",
        f"{say('Not verified by a physician.')} {say('No colour does not mean no disease.')}",
    )
    width = image.width - 2 * margin
    wrapped = [part for line in lines for part in wrap(line, size=size, width=width)]
    top = image.height - line_height(size) * len(wrapped) - margin
    column = Column(ImageDraw.Draw(image), margin, top, width, image.height)
    for line in lines:
        column.write(line, size=size, fill=GREY, gap=0)
