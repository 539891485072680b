# SPDX-License-Identifier: Apache-2.0
"""Encodes outlines and the result line as Grayscale Softcopy Presentation State: a layer over the untouched images.

Written here and not by highdicom, which shows MONOCHROME1 images inverted, gives all images the first one's displayed
area and raises on headers that lack what it expects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from service.dicom.describe import describe_image
from service.domain.image import LookupTable, StoredImage, Window
from service.domain.instance import Instance
from service.domain.result import Finding, Outcome, PipelineResult, Presence
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.equipment import reference_item
from service.results.object.identifiers import tracking_uid
from service.results.object.part10 import write_object
from service.results.object.series import SeriesKind, begin
from service.results.report.sr_group import closed_outline
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.sources import Sources, integer, text
from service.results.source.verbatim import REQUEST, copied, patient_and_study
from service.results.words.statements import is_demonstration, label
from service.results.words.wording import WORDS, Words, headline, reason_line, title

SERIES = SeriesKind(role="presentation", modality="PR", number=9301, words="marks")
CONTENT_LABELS = {
    Outcome.FINDINGS: "AI FINDINGS",
    Outcome.NO_FINDINGS: "AI NO FINDINGS",
    Outcome.PARTLY_ANALYSED: "AI PARTLY",
    Outcome.NOT_ANALYSED: "AI NOT ANALYSED",
}
"""What a list of presentation states shows: at most 16 capitals."""
FINDINGS_LAYER, TEXT_LAYER = "AI_FINDINGS", "AI_RESULT"
LAYER_COLOURS = {FINDINGS_LAYER: (54705, 19000, 28400), TEXT_LAYER: (53000, 36500, 52000)}
"""CIELab values as PS3.3 C.10.7.1.1 scales them: light blue, and amber for the text."""
TEXT_BOX = (0.01, 0.01, 0.75, 0.16)
"""Left, top, right and bottom of the text, as shares of the displayed area."""
MAX_TEXT = 1024


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Shown:
    """A source image as its header says that it is to be shown."""

    instance: Instance
    header: Dataset
    image: StoredImage
    columns: int
    rows: int

    @property
    def likeness(self) -> tuple[object, ...]:
        """What images of one presentation state must have in common: it holds one value for all of them."""
        table = self.image.modality_lut
        lookup = None if table is None else (table.first_mapped, table.bits, table.entries.tobytes())
        rescale = (self.image.rescale_slope, self.image.rescale_intercept, self.image.rescale_type)
        return self.instance.series_instance_uid, self.side, rescale, lookup, self.image.inverted

    @property
    def side(self) -> str | None:
        """Laterality (2C, PS3.3 C.7.3.1): of a breast its side, "" when unknown; None for a chest, which has none."""
        if text(self.header, "Modality").upper() != "MG":
            return None
        side = (text(self.header, "ImageLaterality") or text(self.header, "Laterality")).upper()
        return side if side in {"L", "R"} else ""


def encode_presentation_states(
    result: PipelineResult, context: ResultContext, folder: Path
) -> tuple[EncodedObject, ...]:
    """Write one presentation state for each series (more where its images are to be shown differently).

    Every state has its words on every image: without an outline, only they tell a negative study from one that was not
    analysed. An absent finding has no outline, which would be taken for a mark.
    """
    sources = Sources.of(context)
    shown = [image for instance in sources.instances if (image := _shown(instance, sources)) is not None]
    groups = [[image for image in shown if image.likeness == key] for key in dict.fromkeys(i.likeness for i in shown)]
    return tuple(
        _encode(group, number, result, context, sources, folder=folder) for number, group in enumerate(groups, start=1)
    )


def _shown(instance: Instance, sources: Sources) -> Shown | None:
    """Read how an image is to be shown; None for one in colour, or of unknown size or depth."""
    header = sources.header(instance.sop_instance_uid)
    columns, rows = integer(header, "Columns"), integer(header, "Rows")
    try:
        image = describe_image(header, np.zeros((0, 0), dtype=np.uint8), frame_number=1)
    except BAD_VALUE_ERRORS:
        return None
    if not columns or not rows or not image.photometric_interpretation.startswith("MONOCHROME"):
        return None
    return Shown(instance=instance, header=header, image=image, columns=columns, rows=rows)


def _encode(
    group: Sequence[Shown],
    number: int,
    result: PipelineResult,
    context: ResultContext,
    sources: Sources,
    *,
    folder: Path,
) -> EncodedObject:
    side = group[0].side
    dataset = begin(
        SERIES if side is None else replace(SERIES, role=f"{SERIES.role}:{side}"),
        result,
        context,
        sop_class_uid=GrayscaleSoftcopyPresentationStateStorage,
        role=f"presentation:{number}",
        instance_number=number,
        source=group[0].header,
    )
    dataset.BodyPartExamined = "CHEST" if side is None else "BREAST"
    if side is not None:
        dataset.Laterality = side
    words = WORDS[sources.language]
    _add_identification(dataset, result, words)
    _add_images(dataset, group)
    _add_grayscale(dataset, group)
    _add_annotations(dataset, group, result, context, words)
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid)) | copied(group[0].header, REQUEST)
    return write_object(dataset, folder, kind=ResultKind.PRESENTATION_STATE, verbatim=verbatim)


def _add_identification(dataset: Dataset, result: PipelineResult, words: Words) -> None:
    """Write the Presentation State Identification module (PS3.3 C.11.10)."""
    dataset.PresentationCreationDate, dataset.PresentationCreationTime = dataset.ContentDate, dataset.ContentTime
    del dataset.ContentDate, dataset.ContentTime
    dataset.ContentLabel = CONTENT_LABELS[result.outcome]
    dataset.ContentDescription = title(result, words)
    dataset.ContentCreatorName = None


def _add_images(dataset: Dataset, group: Sequence[Shown]) -> None:
    """Write which images are meant, and that all of each is shown (PS3.3 C.11.11, C.10.4)."""
    series = Dataset()
    series.SeriesInstanceUID = group[0].instance.series_instance_uid
    series.ReferencedImageSequence = _references(group)
    dataset.ReferencedSeriesSequence = Items([series])
    areas = dict.fromkeys((image.columns, image.rows, _pixel_shape(image)) for image in group)
    dataset.DisplayedAreaSelectionSequence = Items([_area(group, area) for area in areas])


def _references(images: Sequence[Shown]) -> Items:
    return Items([reference_item(image.instance) for image in images])


PixelShape = tuple[str, tuple[str, ...]]


def _pixel_shape(image: Shown) -> PixelShape:
    """Return the attribute that says how large or how square pixels are, and its values."""
    spacing = image.image.spacing_mm
    if spacing is not None:
        return "PresentationPixelSpacing", tuple(f"{value:.10g}"[:16] for value in spacing)
    return "PresentationPixelAspectRatio", ("1", "1")


def _area(group: Sequence[Shown], area: tuple[int, int, PixelShape]) -> Dataset:
    columns, rows, (keyword, values) = area
    members = [image for image in group if (image.columns, image.rows, _pixel_shape(image)) == area]
    item = Dataset()
    if len(members) < len(group):
        item.ReferencedImageSequence = _references(members)
    # The one place where DICOM counts pixels from 1 (PS3.3 C.10.4).
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [columns, rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    setattr(item, keyword, list(values))
    return item


def _add_grayscale(dataset: Dataset, group: Sequence[Shown]) -> None:
    """Write the grey scale of the source: its modality and VOI transformations, and its polarity."""
    first = group[0].image
    if first.modality_lut is not None:
        table = _table_item(first.modality_lut)
        table.ModalityLUTType = first.rescale_type or "US"
        dataset.ModalityLUTSequence = Items([table])
    else:
        dataset.RescaleIntercept, dataset.RescaleSlope = (
            _decimal(first.rescale_intercept),
            _decimal(first.rescale_slope),
        )
        dataset.RescaleType = first.rescale_type or ("HU" if first.modality == "CT" else "US")
    items = list(_voi_items(group))
    if items:
        dataset.SoftcopyVOILUTSequence = Items(items)
    dataset.PresentationLUTShape = "INVERSE" if first.inverted else "IDENTITY"


def _voi_items(group: Sequence[Shown]) -> Iterator[Dataset]:
    """Yield each VOI once, with the images that have it."""
    alike: dict[object, list[Shown]] = {}
    for image in group:
        alike.setdefault(_voi_key(image.image), []).append(image)
    for members in alike.values():
        item = _voi_item(members[0].image)
        if item is not None:
            if len(members) < len(group):
                item.ReferencedImageSequence = _references(members)
            yield item


def _voi_key(image: StoredImage) -> object:
    if image.voi_luts:
        table = image.voi_luts[0]
        return table.first_mapped, table.bits, table.entries.tobytes()
    return image.windows


def _voi_item(image: StoredImage) -> Dataset | None:
    item = Dataset()
    if image.voi_luts:
        item.VOILUTSequence = Items([_table_item(_in_whole_bytes(image.voi_luts[0]))])
    elif image.windows:
        _add_windows(item, image.windows)
    else:
        return None
    return item


def _add_windows(item: Dataset, windows: Sequence[Window]) -> None:
    item.WindowCenter = [_decimal(window.center) for window in windows]
    item.WindowWidth = [_decimal(window.width) for window in windows]
    item.VOILUTFunction = windows[0].function.value


def _in_whole_bytes(table: LookupTable) -> LookupTable:
    """Return a VOI table whose entries have 8 or 16 bits, which is all that a presentation state may have (C.11.8)."""
    if table.bits in {8, 16}:
        return table
    entries = table.entries.astype(np.int64) * 0xFFFF // max((1 << table.bits) - 1, 1)
    return replace(table, entries=entries.clip(0, 0xFFFF).astype(np.uint16), bits=16)


def _table_item(table: LookupTable) -> Dataset:
    """Return a lookup table with the representation that its first value needs (PS3.3 C.11.1.1)."""
    item = Dataset()
    count = len(table.entries) & 0xFFFF
    vr = "SS" if table.first_mapped < 0 else "US"
    signed = count - 65536 if vr == "SS" and count > 32767 else count
    item.add_new("LUTDescriptor", vr, [signed, table.first_mapped, table.bits])
    item.add_new("LUTData", "OW", table.entries.astype("<u2").tobytes())
    return item


def _decimal(value: float) -> str:
    return f"{value:.10g}"[:16]


def _add_annotations(
    dataset: Dataset, group: Sequence[Shown], result: PipelineResult, context: ResultContext, words: Words
) -> None:
    """Write the words on every image, and each finding on its own (PS3.3 C.10.5)."""
    marks = [
        _mark(finding, image, result, context, caption=words.label(finding))
        for finding in result.findings
        for image in group
        if finding.presence is not Presence.ABSENT and _stands_on(finding, image)
    ]
    layers = [FINDINGS_LAYER, TEXT_LAYER] if marks else [TEXT_LAYER]
    dataset.GraphicAnnotationSequence = Items([*marks, _on_every_image(lines(result, words))])
    dataset.GraphicLayerSequence = Items([_layer(name, order, words) for order, name in enumerate(layers, start=1)])


def _stands_on(finding: Finding, image: Shown) -> bool:
    return finding.region.sop_instance_uid == image.instance.sop_instance_uid


def _layer(name: str, order: int, words: Words) -> Dataset:
    item = Dataset()
    item.GraphicLayer, item.GraphicLayerOrder = name, order
    item.GraphicLayerRecommendedDisplayCIELabValue = list(LAYER_COLOURS[name])
    item.GraphicLayerDescription = words.research_banner
    return item


def _mark(finding: Finding, image: Shown, result: PipelineResult, context: ResultContext, *, caption: str) -> Dataset:
    """Return the outline in pixels of the stored image and its caption at the outline's top left corner."""
    points = closed_outline(finding.region, image.columns, image.rows)
    annotation, outline = Dataset(), Dataset()
    annotation.ReferencedImageSequence = Items(
        [reference_item(image.instance, frame_number=finding.region.frame_number)]
    )
    annotation.GraphicLayer = FINDINGS_LAYER
    outline.GraphicAnnotationUnits, outline.GraphicDimensions = "PIXEL", 2
    outline.GraphicType, outline.GraphicFilled = "POLYLINE", "N"
    outline.NumberOfGraphicPoints = len(points)
    outline.GraphicData = [float(value) for value in points.ravel()]
    outline.TrackingID = label(f"{result.pipeline} {finding.key}")
    outline.TrackingUID = tracking_uid(result, finding.key, revision=context.revision, profile=context.profile)
    annotation.GraphicObjectSequence = Items([outline])
    annotation.TextObjectSequence = Items([_caption(caption, points)])
    return annotation


def _caption(words: str, points: np.ndarray) -> Dataset:
    item = Dataset()
    item.AnchorPointAnnotationUnits, item.AnchorPointVisibility = "PIXEL", "N"
    item.AnchorPoint = [float(value) for value in points.min(axis=0)]
    item.UnformattedTextValue = words
    return item


def _on_every_image(words: Sequence[str]) -> Dataset:
    """Return the text that stands on every image of the presentation state."""
    left, top, right, bottom = TEXT_BOX
    annotation, item = Dataset(), Dataset()
    annotation.GraphicLayer = TEXT_LAYER
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.BoundingBoxTopLeftHandCorner = [left, top]
    item.BoundingBoxBottomRightHandCorner = [right, bottom]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    item.UnformattedTextValue = "\r\n".join(words)[:MAX_TEXT]
    annotation.TextObjectSequence = Items([item])
    return annotation


def lines(result: PipelineResult, words: Words) -> tuple[str, ...]:
    """Return the words for an image: which of the four states this is, the result, and that it is research."""
    is_refusal = result.outcome is Outcome.NOT_ANALYSED
    state = [f"AI {words.outcomes[result.outcome]}", words.not_negative_sentence if is_refusal else ""]
    banners = [words.demonstration_banner if is_demonstration(result) else "", words.research_banner]
    said = ["" if is_refusal else headline(result, words), reason_line(result, words)]
    return tuple(line for line in (*state, *banners, *said) if line)
