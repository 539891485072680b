# SPDX-License-Identifier: Apache-2.0
"""A result as a PDF of one or two pages for people: the state first, then findings, pictures and how it was made.

No page names the patient: name, number and dates stand in the DICOM header, which an archive corrects when they were
wrong; letters in a PDF would stay wrong. The images that were read are named by their UIDs.
"""

from io import BytesIO
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate, Spacer

from service.domain.result import Heatmap, Outcome, PipelineResult, Presence
from service.results.page import paper
from service.results.picture.painting import paint_anatomy
from service.results.source.sources import Sources, text
from service.results.words.rows import Row, row_of
from service.results.words.statements import is_demonstration, label
from service.results.words.wording import Words, headline, package_line, provenance, reasons

MAX_ROWS, MAX_PICTURES, MAX_IMAGES = 40, 4, 8
PICTURE_HEIGHT = 74 * mm
MOST_BESIDE = 700
"""Characters of remarks that stand beside a single picture."""
COLOURS = {
    Outcome.FINDINGS: ("#b45309", "#fff6e8"),
    Outcome.NO_FINDINGS: ("#475569", "#f3f5f8"),
    Outcome.PARTLY_ANALYSED: ("#7c3aed", "#f6f1ff"),
    Outcome.NOT_ANALYSED: ("#b91c1c", "#fff0ef"),
}
"""Edge and ground of the state's box. None is green: no state means that nothing is wrong."""


def print_report(result: PipelineResult, sources: Sources, words: Words) -> bytes:
    """Return the PDF; the same result gives the same bytes."""
    stream = BytesIO()
    paper.register_fonts()
    document = SimpleDocTemplate(
        stream,
        pagesize=(paper.WIDTH, paper.HEIGHT),
        leftMargin=paper.MARGIN,
        rightMargin=paper.MARGIN,
        topMargin=paper.BAND_HEIGHT + 9 * mm,
        bottomMargin=20 * mm,
        invariant=1,
        title=f"{words.term('Computer-aided analysis')}: {words.outcomes[result.outcome]}",
        author="Dokuei",
        lang=words.language.value,
    )
    document.build(_story(result, sources, words), canvasmaker=_canvas(result, words))
    return stream.getvalue()


def _story(result: PipelineResult, sources: Sources, words: Words) -> list[Flowable]:
    return [
        paper.paragraph(
            f"{words.term('Computer-aided analysis')}: {words.pipeline(result.pipeline)}", size=15, bold=True
        ),
        Spacer(0, 6),
        _state(result, words),
        *_left_out(result, words),
        *_findings(result, words),
        *_sheet(result, words),
        *_pictures(result, sources, words),
        paper.heading(words.term("How it was made")),
        paper.pairs((*provenance(result, words), _images(sources, words))),
    ]


def _state(result: PipelineResult, words: Words) -> Flowable:
    edge, fill = (HexColor(value) for value in COLOURS[result.outcome])
    rows: list[Flowable] = [
        paper.paragraph(words.outcomes[result.outcome], size=19, bold=True, colour=edge),
        paper.paragraph(words.states[result.outcome], size=10.5),
        paper.paragraph(headline(result, words), size=12.5, bold=True),
    ]
    return paper.box(rows, edge=edge, fill=fill)


def _left_out(result: PipelineResult, words: Words) -> list[Flowable]:
    return _lines(words.term("Not analysed"), list(reasons(result, words)), colour="#b91c1c")


def _remarks(result: PipelineResult, sources: Sources, words: Words) -> list[Flowable]:
    return [
        *_lines(words.term("Summary"), [words.line(line) for line in result.summary]),
        *_lines(words.term("Notes"), [*map(words.reason, result.flags), *sources.notes]),
    ]


def _lines(title: str, lines: list[str], *, colour: str = "#1b1f24") -> list[Flowable]:
    """Return a section of lines; nothing when there are none."""
    said = [paper.paragraph(f"- {line}", size=9, colour=HexColor(colour)) for line in lines if line.strip()]
    return [paper.heading(title), *said] if said else []


def _findings(result: PipelineResult, words: Words) -> list[Flowable]:
    title = paper.heading(words.term("Findings"))
    if not result.findings:
        is_refusal = result.outcome is Outcome.NOT_ANALYSED
        said = words.term("The model was not run." if is_refusal else "No finding was marked.")
        return [title, paper.paragraph(said)]
    head = tuple(words.term(name) for name in ("Place", "Finding", "Model says", "Values"))
    rows = [_cells(row_of(finding, result, words)) for finding in result.findings[:MAX_ROWS]]
    table = paper.grid(head, rows, widths=(0.16, 0.33, 0.13, 0.38))
    return [
        title,
        table,
        *_more(len(result.findings) - MAX_ROWS, "more findings; the structured report has all", words),
    ]


def _sheet(result: PipelineResult, words: Words) -> list[Flowable]:
    """Return the reading sheet as a table, what it is not above it."""
    sheet = result.sheet
    if sheet is None:
        return []
    rows = [
        (
            words.question(section.title) if row is section.rows[0] else "",
            words.question(row.name),
            words.line(row.answer),
        )
        for section in sheet.sections
        for row in section.rows
    ]
    return [
        paper.heading(words.question(sheet.title)),
        paper.paragraph(words.line(sheet.note), size=9),
        paper.triples(rows),
    ]


def _cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a finding; its label names the view or share that its codes do not."""
    finding = row.label if row.finding in row.label else f"{row.label} ({row.finding})"
    return row.place, finding, row.presence, row.values


def _more(count: int, what: str, words: Words) -> list[Flowable]:
    """Say how many did not fit: what is cut in silence misleads."""
    if count <= 0:
        return []
    return [paper.paragraph(f"{count} {words.term(what)}")]


def _pictures(result: PipelineResult, sources: Sources, words: Words) -> list[Flowable]:
    """Return the pictures, the remarks beside a single one or below."""
    shown = _most_telling(result)
    remarks = _remarks(result, sources, words)
    if not shown:
        return remarks
    images = [paint_anatomy(heatmap, result, words)[0] for heatmap in shown]
    captions = [_caption(heatmap, sources, words) for heatmap in shown]
    beside, below = (remarks, []) if len(shown) == 1 and _is_short(result) else ([], remarks)
    row = paper.pictures(images, captions, beside, height=PICTURE_HEIGHT)
    more = _more(len(result.heatmaps) - len(shown), "more images", words)
    return [paper.heading(words.term("Pictures")), row, *more, *below]


def _is_short(result: PipelineResult) -> bool:
    """Say whether the remarks fit beside a picture, where a paragraph cannot go on on the next page."""
    return sum(map(len, (*result.summary, *(flag.message for flag in result.flags)))) <= MOST_BESIDE


def _most_telling(result: PipelineResult) -> tuple[Heatmap, ...]:
    """Return the pictures that have room, those with a finding first, otherwise in the order of the result."""
    present = {
        (finding.region.sop_instance_uid, finding.region.frame_number)
        for finding in result.findings
        if finding.presence is Presence.PRESENT
    }
    places = [(heatmap.source_sop_instance_uid, heatmap.frame_number) not in present for heatmap in result.heatmaps]
    order = sorted(range(len(places)), key=lambda index: (places[index], index))[:MAX_PICTURES]
    return tuple(result.heatmaps[index] for index in order)


def _caption(heatmap: Heatmap, sources: Sources, words: Words) -> str:
    """Return what is seen: modality, side, view and number, never the patient."""
    header = sources.header(heatmap.source_sop_instance_uid)
    keywords = ("Modality", "ImageLaterality", "ViewPosition", "InstanceNumber")
    what = label(" ".join(filter(None, (text(header, keyword) for keyword in keywords))))
    return f"{what} - {words.line(heatmap.legend)}"


def _images(sources: Sources, words: Words) -> tuple[str, str]:
    uids = [instance.sop_instance_uid for instance in sources.instances]
    more = [f"+ {len(uids) - MAX_IMAGES} {words.term('more images')}"] if len(uids) > MAX_IMAGES else []
    return words.term("Images given to the analysis"), ", ".join([*uids[:MAX_IMAGES], *more])


def _canvas(result: PipelineResult, words: Words) -> Any:
    """Return the class that draws warnings and page numbers on every page once their number is known."""

    class Numbered(Canvas):  # type: ignore[misc]  # reportlab has no types
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "initialFontName": paper.REGULAR})
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            """Keep the page until the last one is known."""
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            """Draw band and footer on every page, then write."""
            for number, page in enumerate(self._pages, start=1):
                self.__dict__.update(page)
                _frame(self, result, words, place=f"{words.term('page')} {number}/{len(self._pages)}")
                super().showPage()
            super().save()

    return Numbered


def _frame(canvas: Canvas, result: PipelineResult, words: Words, *, place: str) -> None:
    """Draw the warning band at the top and the footer."""
    demonstration = f"{words.demonstration_banner}  |  " if is_demonstration(result) else ""
    top = paper.HEIGHT - paper.BAND_HEIGHT
    canvas.setFillColor(paper.BAND)
    canvas.rect(0, top, paper.WIDTH, paper.BAND_HEIGHT, stroke=0, fill=1)
    canvas.setFillColor(paper.BAND_INK)
    canvas.setFont(paper.BOLD, 10)
    canvas.drawCentredString(paper.WIDTH / 2, top + paper.BAND_HEIGHT / 2 - 3.5, demonstration + words.research_banner)
    canvas.setFillColor(paper.GREY)
    _footer(canvas, (words.research_sentence, f"Dokuei | {package_line(result, words)} | {place}"))


def _footer(canvas: Canvas, lines: tuple[str, ...]) -> None:
    """Write the lines above the lower edge, each as large as its width allows."""
    for number, line in enumerate(reversed(lines)):
        size = 7.5
        while canvas.stringWidth(line, paper.REGULAR, size) > paper.TEXT_WIDTH:
            size -= 0.25
        canvas.setFont(paper.REGULAR, size)
        canvas.drawString(paper.MARGIN + paper.FRAME_PADDING, 8 * mm + number * 4 * mm, line)
