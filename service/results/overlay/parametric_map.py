# SPDX-License-Identifier: Apache-2.0
"""Encodes value maps as float32 Parametric Map, on the grid that the values were computed on (CT alone)."""

from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ParametricMapStorage

from service.codes import dcm, sct
from service.domain.image import SlicePlane
from service.domain.result import PipelineResult, ValueMap
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.coded import concept
from service.results.object.equipment import code_item, series_references
from service.results.object.identifiers import result_uid
from service.results.object.part10 import Bulk, write_object
from service.results.object.series import SeriesKind, begin
from service.results.overlay.frames import (
    POSITION,
    Frame,
    Grid,
    add_dimensions,
    frame_groups,
    pixels,
    shared_groups,
    slice_parts,
)
from service.results.source.inherited import anatomy, compression
from service.results.source.sources import Sources
from service.results.source.verbatim import REQUEST, copied, has_value, patient_and_study
from service.results.words.statements import label
from service.results.words.wording import WORDS, title

SERIES = SeriesKind(role="parametric-map", modality="OT", number=9501, words="parametric map")
IMAGE_TYPE = ("DERIVED", "PRIMARY", "VOLUME", "QUANTITY")
LUNG = sct("39607008")


def encode_parametric_maps(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write each value map; one without a frame of reference is left out, because nothing could place it."""
    sources = Sources.of(context)
    return tuple(
        _encode(value_map, number, result, context, sources, folder=folder)
        for number, value_map in enumerate(result.value_maps, start=1)
        if _is_placed(value_map, sources)
    )


def _is_placed(value_map: ValueMap, sources: Sources) -> bool:
    header = sources.header(value_map.slices[0].sop_instance_uid)
    return has_value(copied(header, ("FrameOfReferenceUID",)), "FrameOfReferenceUID")


def _encode(
    value_map: ValueMap,
    number: int,
    result: PipelineResult,
    context: ResultContext,
    sources: Sources,
    *,
    folder: Path,
) -> EncodedObject:
    source = sources.header(value_map.slices[0].sop_instance_uid)
    dataset = _image(value_map, number, result, context, source=source)
    dataset.ContentDescription = title(result, WORDS[sources.language])
    grids = [grid_of(plane, value_map.pixel_spacing_mm) for plane in value_map.planes]
    dataset.SharedFunctionalGroupsSequence = Items([_shared(value_map, grids)])
    used = dict.fromkeys(place.sop_instance_uid for place in value_map.slices)
    dataset.ReferencedSeriesSequence = series_references(tuple(map(sources.instance, used)))
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid))
    verbatim |= copied(source, (*REQUEST, "FrameOfReferenceUID", "PositionReferenceIndicator"))
    verbatim |= anatomy(dataset, source) | compression(source)
    frames = [Frame(slice_index=index) for index in range(len(grids))]
    parts = [
        slice_parts(grid, place, sources, how=dcm("130401"), preserved=False)
        for grid, place in zip(grids, value_map.slices, strict=True)
    ]
    bulk = (frame_groups(frames, parts), _pixels(value_map))
    return write_object(dataset, folder, kind=ResultKind.PARAMETRIC_MAP, verbatim=verbatim, bulk=bulk)


def grid_of(plane: SlicePlane, spacing_mm: tuple[float, float]) -> Grid:
    """Return where a slice of a map lies, in decimal strings."""
    return Grid(
        position=tuple(map(decimal, plane.position_mm)),
        orientation=tuple(map(decimal, plane.orientation)),
        spacing=tuple(map(decimal, spacing_mm)),
        thickness="",
    )


def decimal(value: float) -> str:
    """Return a decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"[:16]


def _image(
    value_map: ValueMap, number: int, result: PipelineResult, context: ResultContext, *, source: Dataset
) -> Dataset:
    """Return the attributes that describe the image (PS3.3 C.8.32.2)."""
    role = f"parametric-map:{value_map.key}"
    dataset = begin(
        SERIES, result, context, sop_class_uid=ParametricMapStorage, role=role, instance_number=number, source=source
    )
    dataset.ImageType = list(IMAGE_TYPE)
    dataset.ContentLabel = value_map.key.upper()[:16]
    dataset.ContentCreatorName = None
    dataset.AcquisitionContextSequence = Items([])
    dataset.BurnedInAnnotation = dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.PositionReferenceIndicator = ""
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = value_map.values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.BitsAllocated = 1, "MONOCHROME2", 32
    # dciodvfy asks for the end of the range also where the range is one value.
    dataset.FloatPixelPaddingValue = dataset.FloatPixelPaddingRangeLimit = padding(value_map)
    organization = result_uid(result, f"{role}:dimensions", revision=context.revision, profile=context.profile)
    add_dimensions(dataset, (POSITION,), uid=organization)
    return dataset


def padding(value_map: ValueMap) -> float:
    """Return the value of places without a measurement: below the range, so that it is never taken for its lowest."""
    low, high = value_map.value_range
    return low - (high - low)


def _shared(value_map: ValueMap, grids: list[Grid]) -> Dataset:
    shared = shared_groups(grids)
    missing, (low, high) = padding(value_map), value_map.value_range
    shared.RealWorldValueMappingSequence = Items(
        [
            hd.pm.RealWorldValueMapping(
                lut_label=value_map.key.upper()[:16],
                lut_explanation=label(f"{value_map.label}; {decimal(missing)}: none"),
                unit=concept(value_map.unit),
                value_range=(missing, float(high)),  # highdicom reads no map with a value outside
                slope=1.0,
                intercept=0.0,
                quantity_definition=concept(value_map.quantity),
            )
        ]
    )
    shared.PixelValueTransformationSequence = Items([_identity()])
    shared.FrameVOILUTSequence = Items([_window(low, high)])
    shared.FrameAnatomySequence = Items([_frame_anatomy()])
    shared.ParametricMapFrameTypeSequence = Items([_frame_type()])
    return shared


def _identity() -> Dataset:
    transformation = Dataset()
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = "0", "1", "US"
    return transformation


def _window(low: float, high: float) -> Dataset:
    window = Dataset()
    window.WindowCenter, window.WindowWidth = decimal((low + high) / 2), decimal(high - low)
    window.VOILUTFunction = "LINEAR_EXACT"  # LINEAR would subtract a half, which here is half of the range
    return window


def _frame_anatomy() -> Dataset:
    """Say which part of the body the map shows; without it dcmqi, and with it Slicer, crashes."""
    frame_anatomy = Dataset()
    frame_anatomy.FrameLaterality = "B"
    frame_anatomy.AnatomicRegionSequence = Items([code_item(LUNG)])
    return frame_anatomy


def _frame_type() -> Dataset:
    frame_type = Dataset()
    frame_type.FrameType = list(IMAGE_TYPE)
    return frame_type


def _pixels(value_map: ValueMap) -> Bulk:
    fill = np.float32(padding(value_map))

    def planes() -> Iterator[bytes]:
        for plane in value_map.values:
            yield np.where(np.isnan(plane), fill, plane).astype("<f4").tobytes()

    return pixels("FloatPixelData", "OF", length=4 * value_map.values.size, planes=planes)
