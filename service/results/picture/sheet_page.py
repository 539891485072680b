# SPDX-License-Identifier: Apache-2.0
"""Paints a reading sheet as a page: two columns of questions and answers, what was not read in grey."""

import numpy as np
from PIL import Image, ImageDraw

from service.domain.result import PipelineResult
from service.domain.sheet import SheetSection
from service.results.picture.lettering import AMBER, GREY, MORE, WHITE, Column
from service.results.picture.painting import BACKGROUND, Page, Painted, opened, pipeline_title, write_footer

_SIZE = (1280, 1024)
_LETTERS = 22
_MARGIN = 30


def paint_sheet(result: PipelineResult, page: Page) -> Painted:
    """Return the page.

    Raises
    ------
    ValueError
        The result has no sheet.
    """
    sheet, words = result.sheet, page.words
    if sheet is None:
        raise ValueError(f"the result of pipeline {result.pipeline!r} has no sheet to paint")
    image = Image.new("RGB", _SIZE, BACKGROUND)
    head = opened(image, result, words, size=_MARGIN)
    head.write(f"{pipeline_title(result, words)} - {words.question(sheet.title)}", size=30)
    head.write(words.line(sheet.note), size=_LETTERS, fill=AMBER, gap=0.8)
    draw, middle = ImageDraw.Draw(image), image.width // 2
    for left, sections in zip((_MARGIN, middle), _halves(sheet.sections), strict=True):
        column = Column(draw, left, head.top, middle - 2 * _MARGIN, head.bottom, more=words.term(MORE))
        for section in sections:
            _write_section(column, section, page)
    write_footer(image, result, page, size=_LETTERS, margin=_MARGIN)
    return Painted(np.asarray(image), (1.0, 1.0))


def _halves(sections: tuple[SheetSection, ...]) -> tuple[tuple[SheetSection, ...], tuple[SheetSection, ...]]:
    """Cut the sections where the left column has as close to half of the lines as can be."""
    lines = [2 + len(section.rows) for section in sections]
    cut = min(range(len(sections) + 1), key=lambda count: abs(2 * sum(lines[:count]) - sum(lines)))
    return sections[:cut], sections[cut:]


def _write_section(column: Column, section: SheetSection, page: Page) -> None:
    words = page.words
    column.write(words.question(section.title), size=_LETTERS, fill=AMBER, gap=0.1)
    for row in section.rows:
        said = f"{words.question(row.name)}: {words.line(row.answer)}"
        column.write(said, size=_LETTERS, fill=WHITE if row.is_read else GREY, gap=0)
    column.top += _LETTERS // 2
