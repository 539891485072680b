# SPDX-License-Identifier: Apache-2.0
"""Encodes heatmaps as colour Secondary Capture, the one object that every viewer and every archive displays."""

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SecondaryCaptureImageStorage

from service.codes import Code, dcm
from service.domain.instance import Instance
from service.domain.profile import CaptureModality, EncodingProfile
from service.domain.provenance import HEATMAP_IMAGE_TYPE
from service.domain.result import Heatmap, PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.equipment import code_item, reference_item, series_references, stamp
from service.results.object.identifiers import (
    PAGE_KEY,
    SHEET_KEY,
    heatmap_series_instance_uid,
    heatmap_sop_instance_uid,
)
from service.results.object.part10 import write_object
from service.results.picture.captures import captured, has_page, has_sheet_page
from service.results.picture.painting import Page, Painted, paint_heatmap, paint_page
from service.results.picture.sheet_page import paint_sheet
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.inherited import anatomy, compression
from service.results.source.sources import Sources, text
from service.results.source.verbatim import PLACE, REQUEST, Elements, copied, has_value, patient_and_study
from service.results.words.statements import label, series_description
from service.results.words.wording import WORDS

SERIES_NUMBER = 9101
SOURCE_MODALITIES = frozenset({"CR", "DX", "MG"})
DEFAULT_EXPLANATION = dcm("130401")


def encode_heatmaps(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write one picture per heatmap, in one series; a page of text where there is none or nothing was analysed.

    The reading sheet, where the result has one, is the last picture. A destination may take fewer pictures than there
    are heatmaps; those that it gets say how many are missing.
    """
    sources = Sources.of(context)
    heatmaps, first = captured(result, context.profile), 1 + has_page(result)
    has_sheet = has_sheet_page(result, context.profile)
    count = len(heatmaps) + first - 1 + has_sheet
    page = Page(number=1, count=count, left_out=len(result.heatmaps) - len(heatmaps), words=WORDS[sources.language])
    objects = []
    if has_page(result):
        objects.append(_encode_page(paint_page(result, page), result, context, sources, folder=folder, page=page))
    for number, heatmap in enumerate(heatmaps, start=first):
        place = replace(page, number=number)
        objects.append(_encode_heatmap(heatmap, result, context, sources, folder=folder, page=place))
    if has_sheet:
        place = replace(page, number=count)
        painted = paint_sheet(result, place)
        objects.append(_encode_page(painted, result, context, sources, folder=folder, page=place, key=SHEET_KEY))
    return tuple(objects)


def _encode_page(
    painted: Painted,
    result: PipelineResult,
    context: ResultContext,
    sources: Sources,
    *,
    folder: Path,
    page: Page,
    key: str = PAGE_KEY,
) -> EncodedObject:
    dataset = _picture(painted, result, context, source=sources.header(sources.first.sop_instance_uid), key=key)
    dataset.InstanceNumber = page.number
    dataset.DerivationDescription = "Result page of a computer-aided analysis"
    dataset.SourceImageSequence = Sequence([_source_item(source) for source in sources.instances])
    dataset.ReferencedSeriesSequence = series_references(sources.instances)
    return _write(dataset, sources, sources.first, folder=folder)


def _encode_heatmap(
    heatmap: Heatmap,
    result: PipelineResult,
    context: ResultContext,
    sources: Sources,
    *,
    folder: Path,
    page: Page,
) -> EncodedObject:
    source = sources.instance(heatmap.source_sop_instance_uid)
    header = sources.header(source.sop_instance_uid)
    painted = paint_heatmap(heatmap, result, replace(page, subject=subject(header)))
    dataset = _picture(painted, result, context, source=header, key=heatmap.key)
    dataset.InstanceNumber = page.number
    dataset.PatientOrientation = list(heatmap.patient_orientation or ()) or None
    _add_derivation(dataset, heatmap, source)
    _add_geometry(dataset, heatmap, painted)
    if "PixelSpacing" in dataset and is_measured_at_the_detector(header):
        dataset.ImagerPixelSpacing = dataset.PixelSpacing
    return _write(dataset, sources, source, folder=folder)


def subject(header: Dataset) -> str:
    """Return what the picture shows, for the panel: modality, side, view, number; never the patient."""
    side = text(header, "ImageLaterality") or text(header, "Laterality")
    number = text(header, "InstanceNumber")
    view = text(header, "ViewPosition")
    return label(" ".join(filter(None, (text(header, "Modality"), side, view, number and f"image {number}"))))


def _picture(painted: Painted, result: PipelineResult, context: ResultContext, *, source: Dataset, key: str) -> Dataset:
    """Return the attributes that heatmaps and pages share."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = heatmap_sop_instance_uid(result, key, revision=context.revision, profile=context.profile)
    dataset.SeriesInstanceUID = heatmap_series_instance_uid(result, revision=context.revision, profile=context.profile)
    dataset.SeriesNumber = SERIES_NUMBER
    dataset.Modality = capture_modality(source, context.profile)
    dataset.ConversionType = "WSD"
    dataset.ImageType = list(HEATMAP_IMAGE_TYPE)
    dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    stamp(dataset, result, description=series_description(result, "heatmap", context=context), source=source)
    dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = dataset.ContentDate, dataset.ContentTime
    _add_pixels(dataset, painted)
    return dataset


def capture_modality(source: Dataset, profile: EncodingProfile) -> str:
    """Return Modality (0008,0060): of CT the source's, of radiographs what the destination wants.

    OT keeps hanging protocols and other CADs from taking the picture for an exposure; some archives hide OT.
    """
    modality = text(source, "Modality").upper()
    wants_source = profile.capture_modality is CaptureModality.SOURCE and modality in SOURCE_MODALITIES
    return modality if modality == "CT" or wants_source else "OT"


def _add_pixels(dataset: Dataset, painted: Painted) -> None:
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = painted.pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    pixels = painted.pixels.tobytes()
    dataset.add_new("PixelData", "OB", pixels + b"\0" * (len(pixels) % 2))


def _add_derivation(dataset: Dataset, heatmap: Heatmap, source: Instance) -> None:
    dataset.SourceImageSequence = Sequence([_source_item(source, frame_number=heatmap.frame_number)])
    dataset.ReferencedSeriesSequence = series_references((source,))
    explanation: Code = heatmap.explanation or DEFAULT_EXPLANATION
    dataset.DerivationDescription = label(f"{explanation.meaning}: {heatmap.legend}")
    dataset.DerivationCodeSequence = Sequence([code_item(explanation)])


def _source_item(source: Instance, *, frame_number: int | None = None) -> Dataset:
    item = reference_item(source, frame_number=frame_number)
    item.PurposeOfReferenceCodeSequence = Sequence([code_item(dcm("121322"))])
    return item


def _add_geometry(dataset: Dataset, heatmap: Heatmap, painted: Painted) -> None:
    """Place the picture in the patient; its top-left corner is the base's, its pixels are smaller or larger."""
    if heatmap.pixel_spacing_mm is None:
        return
    spacing = (heatmap.pixel_spacing_mm[0] / painted.scale[0], heatmap.pixel_spacing_mm[1] / painted.scale[1])
    dataset.PixelSpacing = [_decimal(value) for value in spacing]
    if heatmap.position_mm is None or heatmap.orientation is None:
        return
    dataset.ImagePositionPatient = [_decimal(value) for value in _position(heatmap, spacing)]
    dataset.ImageOrientationPatient = [_decimal(value) for value in heatmap.orientation]


def is_measured_at_the_detector(header: Dataset) -> bool:
    """Say whether an image's pixel spacing is that of its detector: nobody has calibrated it (PS3.3 10.7.1.3)."""
    spacings = {_spacing(header, keyword) for keyword in ("ImagerPixelSpacing", "PixelSpacing")} - {""}
    return len(spacings) == 1 and bool(_spacing(header, "ImagerPixelSpacing"))


def _spacing(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "")
    except BAD_VALUE_ERRORS:
        return ""


def _position(heatmap: Heatmap, spacing: tuple[float, float]) -> tuple[float, ...]:
    """Return the centre of the first pixel (PS3.3 C.7.6.2.1.1), which moves when pixels change size."""
    if heatmap.position_mm is None or heatmap.orientation is None or heatmap.pixel_spacing_mm is None:
        raise ValueError(f"heatmap {heatmap.key!r} has no place in the patient")
    along_row, along_column = heatmap.orientation[:3], heatmap.orientation[3:]
    shift_x = (spacing[1] - heatmap.pixel_spacing_mm[1]) / 2
    shift_y = (spacing[0] - heatmap.pixel_spacing_mm[0]) / 2
    axes = zip(heatmap.position_mm, along_row, along_column, strict=True)
    return tuple(start + shift_x * row + shift_y * column for start, row, column in axes)


def _decimal(value: float) -> str:
    """Return a decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"[:16]


def _write(dataset: Dataset, sources: Sources, source: Instance, *, folder: Path) -> EncodedObject:
    header = sources.header(source.sop_instance_uid)
    elements = patient_and_study(sources.header(sources.first.sop_instance_uid))
    elements |= copied(header, REQUEST)
    elements |= anatomy(dataset, header)
    elements |= compression(header)
    if "ImagePositionPatient" in dataset:
        elements |= _frame_of_reference(dataset, header)
    return write_object(dataset, folder, kind=ResultKind.HEATMAP, verbatim=elements)


def _frame_of_reference(dataset: Dataset, header: Dataset) -> Elements:
    """Return the frame of reference; without one a position means nothing and is taken away."""
    elements = copied(header, PLACE)
    if has_value(elements, "FrameOfReferenceUID"):
        dataset.setdefault("PositionReferenceIndicator", "")
        return elements
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    return {}
