# SPDX-License-Identifier: Apache-2.0
"""The look of a printed report: page, typeface, colours, and the parts that a report is put together from.

reportlab sets it: of the PDF libraries that are kept well it is the one with a BSD license that writes the same bytes
twice (`invariant`) and embeds only the glyphs used, without a font library of its own.
"""

from functools import cache
from importlib.resources import as_file, files
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image as Pillow
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, LongTable, Paragraph, Table, TableStyle

REGULAR, BOLD = "BIZUDPGothic-Regular", "BIZUDPGothic-Bold"
WIDTH, HEIGHT = A4
MARGIN = 16 * mm
FRAME_PADDING = 6
TEXT_WIDTH = WIDTH - 2 * MARGIN - 2 * FRAME_PADDING
BAND_HEIGHT = 11 * mm
INK, GREY, LINE = HexColor("#1b1f24"), HexColor("#5b6470"), HexColor("#c9ced6")
SHADE = HexColor("#f1f3f6")
BAND, BAND_INK = HexColor("#ffc83d"), HexColor("#3a2600")
JPEG_QUALITY = 88
MAX_PICTURE_PX = 1000
CELL_PADDING = 3
EVERYWHERE = (0, 0), (-1, -1)
TYPEFACE = ("FONTNAME", *EVERYWHERE, REGULAR)
"""Of every table: reportlab would name Helvetica in the file, which is not embedded."""


@cache
def register_fonts() -> None:
    """Make the typeface known to reportlab, once."""
    for name in (REGULAR, BOLD):
        with as_file(files("service.results").joinpath("fonts", f"{name}.ttf")) as path:
            pdfmetrics.registerFont(TTFont(name, str(path)))


def style(size: float, *, bold: bool = False, colour: Color = INK, leading: float = 1.35) -> ParagraphStyle:
    """Return the style of a paragraph; lines break between Japanese characters, and in long digests."""
    register_fonts()
    return ParagraphStyle(
        f"{size}-{bold}",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=size * leading,
        textColor=colour,
        bulletFontName=REGULAR,
        splitLongWords=1,
    )


def paragraph(text: str, *, size: float = 9.5, bold: bool = False, colour: Color = INK) -> Paragraph:
    """Return a paragraph; Japanese text breaks anywhere, as it is written."""
    look = style(size, bold=bold, colour=colour)
    if not text.isascii():
        look.wordWrap = "CJK"
    return Paragraph(escape(text), look)


def heading(text: str) -> Paragraph:
    """Return the heading of a section."""
    look = style(11, bold=True)
    look.spaceBefore, look.spaceAfter, look.keepWithNext = 9, 3, 1
    return Paragraph(escape(text), look)


def box(rows: list[Flowable], *, edge: Color, fill: Color) -> Table:
    """Return paragraphs in a box with a thick left edge."""
    table = Table([[row] for row in rows], colWidths=[TEXT_WIDTH])
    table.setStyle(
        TableStyle(
            [
                TYPEFACE,
                ("BACKGROUND", *EVERYWHERE, fill),
                ("LINEBEFORE", (0, 0), (0, -1), 6, edge),
                ("BOX", *EVERYWHERE, 0.8, edge),
                ("LEFTPADDING", *EVERYWHERE, 14),
                ("TOPPADDING", *EVERYWHERE, 4),
                ("BOTTOMPADDING", *EVERYWHERE, 4),
            ]
        )
    )
    return table


def grid(head: tuple[str, ...], rows: list[tuple[str, ...]], *, widths: tuple[float, ...]) -> LongTable:
    """Return a table whose head is repeated on every page; `widths` are shares of the text's width."""
    cells: list[list[Any]] = [[paragraph(text, size=8.5, bold=True) for text in head]]
    cells += [[paragraph(text, size=8.5) for text in row] for row in rows]
    table = LongTable(cells, colWidths=[share * TEXT_WIDTH for share in widths], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                TYPEFACE,
                ("BACKGROUND", (0, 0), (-1, 0), SHADE),
                ("LINEBELOW", *EVERYWHERE, 0.5, LINE),
                ("VALIGN", *EVERYWHERE, "TOP"),
                ("TOPPADDING", *EVERYWHERE, CELL_PADDING),
                ("BOTTOMPADDING", *EVERYWHERE, CELL_PADDING),
                ("LEFTPADDING", *EVERYWHERE, 4),
                ("RIGHTPADDING", *EVERYWHERE, 4),
            ]
        )
    )
    return table


def pairs(rows: tuple[tuple[str, str], ...]) -> Table:
    """Return terms and values in two columns, small."""
    cells = [[paragraph(name, size=7.5, colour=GREY), paragraph(value, size=7.5)] for name, value in rows]
    table = Table(cells, colWidths=[0.27 * TEXT_WIDTH, 0.73 * TEXT_WIDTH])
    padding = [(side, *EVERYWHERE, 1.2) for side in ("TOPPADDING", "BOTTOMPADDING")]
    table.setStyle(TableStyle([TYPEFACE, *padding, ("VALIGN", *EVERYWHERE, "TOP"), ("LEFTPADDING", *EVERYWHERE, 4)]))
    return table


def triples(rows: list[tuple[str, str, str]]) -> LongTable:
    """Return section, question and answer in three columns, small; it may go on on the next page."""
    cells = [
        [paragraph(section, size=7.5, bold=True), paragraph(name, size=7.5, colour=GREY), paragraph(answer, size=7.5)]
        for section, name, answer in rows
    ]
    table = LongTable(cells, colWidths=[share * TEXT_WIDTH for share in (0.2, 0.25, 0.55)])
    padding = [(side, *EVERYWHERE, 0.6) for side in ("TOPPADDING", "BOTTOMPADDING")]
    table.setStyle(TableStyle([TYPEFACE, *padding, ("VALIGN", *EVERYWHERE, "TOP"), ("LEFTPADDING", *EVERYWHERE, 4)]))
    return table


def pictures(images: list[Pillow.Image], captions: list[str], beside: list[Flowable], *, height: float) -> Table:
    """Return pictures side by side, each with its caption below, none higher than `height` points; then the rest."""
    count = len(images) + bool(beside)
    width = TEXT_WIDTH / count
    shown = [
        [_fitted(image, width=width - 8, height=height), paragraph(text, size=8, colour=GREY)]
        for image, text in zip(images, captions, strict=True)
    ]
    table = Table([[*shown, beside] if beside else shown], colWidths=_widths(shown, count, has_more=bool(beside)))
    table.setStyle(TableStyle([TYPEFACE, ("VALIGN", *EVERYWHERE, "TOP"), ("LEFTPADDING", *EVERYWHERE, 0)]))
    return table


def _widths(shown: list[list[Any]], count: int, *, has_more: bool) -> list[float]:
    """Return the widths of the columns: what stands beside one picture gets all the room that it leaves."""
    if not has_more:
        return [TEXT_WIDTH / count] * count
    taken = [cell[0].drawWidth + 14 for cell in shown]
    return [*taken, TEXT_WIDTH - sum(taken)]


def _fitted(image: Pillow.Image, *, width: float, height: float) -> Image:
    scale = min(width / image.width, height / image.height)
    small = image.copy()
    small.thumbnail((MAX_PICTURE_PX, MAX_PICTURE_PX), Pillow.Resampling.LANCZOS)
    stream = BytesIO()
    small.save(stream, format="JPEG", quality=JPEG_QUALITY)
    stream.seek(0)
    return Image(stream, width=image.width * scale, height=image.height * scale)
