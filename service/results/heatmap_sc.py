# SPDX-License-Identifier: Apache-2.0
"""Encodes heatmaps as colour Secondary Capture, the one object that every viewer and every archive displays."""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SecondaryCaptureImageStorage

from service.codes import Code, dcm
from service.domain.instance import Instance
from service.domain.provenance import HEATMAP_IMAGE_TYPE
from service.domain.result import Heatmap, Outcome, PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.equipment import code_item, reference_item, series_references, stamp
from service.results.identifiers import PAGE_KEY, heatmap_series_instance_uid, heatmap_sop_instance_uid
from service.results.part10 import write_object
from service.results.picture import Page, Painted, paint_heatmap, paint_page
from service.results.sources import Sources, text
from service.results.statements import label, series_description
from service.results.verbatim import (
    COMPRESSION,
    PLACE,
    REQUEST,
    SIDE,
    Elements,
    copied,
    empty,
    has_value,
    patient_and_study,
)

SERIES_NUMBER = 9101
DEFAULT_EXPLANATION = dcm("130401")


def encode_heatmaps(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write one picture per heatmap, in one series; a page of text where there is none or nothing was analysed."""
    sources = Sources.of(context)
    has_page = result.outcome is Outcome.NOT_ANALYSED or not result.heatmaps
    count = len(result.heatmaps) + has_page
    objects = [_encode_page(result, context, sources, folder=folder, count=count)] if has_page else []
    for number, heatmap in enumerate(result.heatmaps, start=1 + has_page):
        objects.append(_encode_heatmap(heatmap, result, context, sources, folder=folder, place=(number, count)))
    return tuple(objects)


def _encode_page(
    result: PipelineResult, context: ResultContext, sources: Sources, *, folder: Path, count: int
) -> EncodedObject:
    painted = paint_page(result, Page(number=1, count=count))
    dataset = _picture(painted, result, context, source=sources.header(sources.first.sop_instance_uid), key=PAGE_KEY)
    dataset.InstanceNumber = 1
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
    place: tuple[int, int],
) -> EncodedObject:
    source = sources.instance(heatmap.source_sop_instance_uid)
    header = sources.header(source.sop_instance_uid)
    painted = paint_heatmap(heatmap, result, Page(number=place[0], count=place[1], subject=subject(header)))
    dataset = _picture(painted, result, context, source=header, key=heatmap.key)
    dataset.InstanceNumber = place[0]
    dataset.PatientOrientation = list(heatmap.patient_orientation or ()) or None
    _add_derivation(dataset, heatmap, source)
    _add_geometry(dataset, heatmap, painted)
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
    dataset.Modality = "CT" if text(source, "Modality").upper() == "CT" else "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = list(HEATMAP_IMAGE_TYPE)
    dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    stamp(dataset, result, description=series_description(result, "heatmap", context=context), source=source)
    _add_pixels(dataset, painted)
    return dataset


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
    elements |= _anatomy(dataset, header)
    elements |= _compression(header)
    if "ImagePositionPatient" in dataset:
        elements |= _frame_of_reference(dataset, header)
    return write_object(dataset, folder, kind=ResultKind.HEATMAP, verbatim=elements)


def _anatomy(dataset: Dataset, header: Dataset) -> Elements:
    """Write the body part and return the side.

    The source's own words for the body part are many ("LUNG", "CHEST PA"), and the validity of a side depends on them:
    a breast has one, empty when unknown, a chest must have none (Laterality is type 2C, PS3.3 C.7.3.1).
    """
    if text(header, "Modality").upper() != "MG":
        dataset.BodyPartExamined = "CHEST"
        return {}
    dataset.BodyPartExamined = "BREAST"
    for keyword in SIDE:
        elements = copied(header, (keyword,))
        if has_value(elements, keyword):
            return elements
    return empty(("Laterality",))


def _compression(header: Dataset) -> Elements:
    """Return the history of lossy compression, which a derived image keeps (PS3.3 C.7.6.1.1.5)."""
    return copied(header, COMPRESSION) if text(header, "LossyImageCompression") == "01" else {}


def _frame_of_reference(dataset: Dataset, header: Dataset) -> Elements:
    """Return the frame of reference; without one a position means nothing and is taken away."""
    elements = copied(header, PLACE)
    if has_value(elements, "FrameOfReferenceUID"):
        dataset.setdefault("PositionReferenceIndicator", "")
        return elements
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    return {}
