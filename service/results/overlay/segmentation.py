# SPDX-License-Identifier: Apache-2.0
"""Encodes lungs and patterns as Segmentation: one object for each group, as bits and, for whoever asks, as labels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes
from pydicom.uid import UID, SegmentationStorage

from service.codes import dcm
from service.domain.result import LabelMap, PipelineResult, Segment
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.coded import concept
from service.results.object.equipment import code_item, series_references
from service.results.object.identifiers import result_uid, tracking_uid
from service.results.object.part10 import Bulk, write_object
from service.results.object.series import SeriesKind, begin
from service.results.overlay.frames import (
    POSITION,
    SEGMENT,
    Frame,
    Grid,
    SliceParts,
    add_dimensions,
    frame_groups,
    pixels,
    shared_groups,
    slice_distance,
    slice_parts,
    source_grid,
)
from service.results.source.inherited import anatomy, compression
from service.results.source.sources import Sources
from service.results.source.verbatim import REQUEST, copied, has_value, patient_and_study
from service.results.words.statements import label, latin
from service.results.words.wording import WORDS, title

LABEL_MAP_SEGMENTATION_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
SERIES = SeriesKind(role="segmentation", modality="SEG", number=9201, words="SEG")
BINARY, LABELMAP = "BINARY", "LABELMAP"
SOP_CLASSES = {BINARY: SegmentationStorage, LABELMAP: LABEL_MAP_SEGMENTATION_STORAGE}
RANKS = {BINARY: 0, LABELMAP: 1}
"""Every viewer that draws segmentations draws bits; labels go only to an archive that does not take those."""
FORMS = {False: (BINARY,), True: (BINARY, LABELMAP)}
"""By whether the profile wants label maps."""
IMAGE_TYPE = ("DERIVED", "PRIMARY")
COLOURS = ((86, 180, 233), (0, 158, 115), (230, 159, 0), (204, 121, 167), (213, 94, 0), (240, 228, 66), (0, 114, 178))
"""Colours that people who do not see all colours tell apart (Okabe and Ito)."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Group:
    """The segments of one object, the pixels they are drawn from, and where those lie."""

    name: str
    number: int
    segments: tuple[Segment, ...]
    label_map: LabelMap
    parts: tuple[SliceParts, ...]
    present: NDArray[np.bool_]
    """(slices, 256): which labels a slice has."""

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """The number of the segment for each label; 0 for none."""
        table = np.zeros(256, dtype=np.uint8)
        for number, segment in enumerate(self.segments, start=1):
            table[list(segment.values)] = number
        return table

    def has(self, segment: Segment) -> NDArray[np.bool_]:
        """Say for each slice whether the segment has a pixel there."""
        return np.asarray(self.present[:, list(segment.values)].any(axis=1))


def encode_segmentations(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write each group of segments, as labels too where the profile asks; nothing when nothing was segmented or placed.

    A study that was not analysed has no label map; a negative one has the lungs alone.
    """
    sources = Sources.of(context)
    return tuple(
        _encode(group, form, result, context, sources, folder=folder)
        for group in _groups(result.label_map, sources)
        for form in FORMS[context.profile.label_maps]
    )


def _groups(label_map: LabelMap | None, sources: Sources) -> Iterator[Group]:
    """Yield the groups with their segments that have a pixel; without a frame of reference no viewer can place them."""
    grids = _grids(label_map, sources)
    if label_map is None or not grids:
        return
    present = np.array([np.bincount(plane.ravel(), minlength=256) > 0 for plane in label_map.labels])
    parts = tuple(
        slice_parts(grid, place, sources, how=dcm("113076"), preserved=True)
        for grid, place in zip(grids, label_map.slices, strict=True)
    )
    drawn = [segment for segment in label_map.segments if present[:, list(segment.values)].any()]
    for number, name in enumerate(dict.fromkeys(segment.group for segment in drawn), start=1):
        segments = tuple(segment for segment in drawn if segment.group == name)
        yield Group(name=name, number=number, segments=segments, label_map=label_map, parts=parts, present=present)


def _grids(label_map: LabelMap | None, sources: Sources) -> tuple[Grid, ...]:
    if label_map is None or not label_map.slices:
        return ()
    header = sources.header(label_map.slices[0].sop_instance_uid)
    grids = [source_grid(place, sources) for place in label_map.slices]
    known = tuple(grid for grid in grids if grid is not None)
    is_placed = has_value(copied(header, ("FrameOfReferenceUID",)), "FrameOfReferenceUID")
    has_thickness = bool(known) and bool(known[0].thickness or slice_distance(known))
    return known if is_placed and has_thickness and len(known) == len(grids) else ()


def _encode(
    group: Group, form: str, result: PipelineResult, context: ResultContext, sources: Sources, *, folder: Path
) -> EncodedObject:
    source = sources.header(group.label_map.slices[0].sop_instance_uid)
    frames = _frames(group, form)
    dataset = _image(group, form, result, context, source=source)
    dataset.ContentDescription = title(result, WORDS[sources.language])
    dataset.NumberOfFrames = len(frames)
    dataset.SegmentSequence = Items(_segments(group, form, result, context))
    dataset.SharedFunctionalGroupsSequence = Items([shared_groups(_used(group, frames))])
    used = dict.fromkeys(group.label_map.slices[frame.slice_index].sop_instance_uid for frame in frames)
    dataset.ReferencedSeriesSequence = series_references(tuple(map(sources.instance, used)))
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid))
    verbatim |= copied(source, (*REQUEST, "FrameOfReferenceUID", "PositionReferenceIndicator"))
    verbatim |= anatomy(dataset, source) | compression(source)
    bulk = (frame_groups(frames, group.parts), _pixels(group, frames, form))
    written = write_object(dataset, folder, kind=ResultKind.SEGMENTATION, verbatim=verbatim, bulk=bulk)
    return replace(written, slot=f"segmentation:{group.name}", rank=RANKS[form])


def _frames(group: Group, form: str) -> list[Frame]:
    """Return the frames that are not empty: of each segment one after the other, or of all segments together."""
    if form == LABELMAP:
        used = np.any([group.has(segment) for segment in group.segments], axis=0)
        return [Frame(slice_index=int(index)) for index in np.flatnonzero(used)]
    return [
        Frame(slice_index=int(index), segment=number)
        for number, segment in enumerate(group.segments, start=1)
        for index in np.flatnonzero(group.has(segment))
    ]


def _used(group: Group, frames: Sequence[Frame]) -> list[Grid]:
    return [group.parts[index].grid for index in sorted({frame.slice_index for frame in frames})]


def series_of(group: Group) -> SeriesKind:
    """Return the group's own series: OHIF shows only one of the segmentations that share a series."""
    return replace(
        SERIES,
        role=f"{SERIES.role}:{group.name}",
        number=SERIES.number + group.number - 1,
        words=f"{SERIES.words} {group.name}",
    )


def _image(group: Group, form: str, result: PipelineResult, context: ResultContext, *, source: Dataset) -> Dataset:
    """Return the attributes that describe the image (PS3.3 C.8.20.2)."""
    role = f"segmentation:{group.name}:{form.lower()}"
    dataset = begin(
        series_of(group), result, context, sop_class_uid=SOP_CLASSES[form], role=role, instance_number=1, source=source
    )
    dataset.ImageType = list(IMAGE_TYPE)
    dataset.SegmentationType = form
    dataset.SegmentsOverlap = "NO"
    dataset.ContentLabel = group.name.upper()[:16]
    dataset.ContentCreatorName = None
    dataset.LossyImageCompression = "00"
    dataset.PositionReferenceIndicator = ""
    dataset.Rows, dataset.Columns = group.label_map.labels.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    bits = 1 if form == BINARY else 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    if form == LABELMAP:
        dataset.add_new("PixelPaddingValue", "US", 0)
    organization = result_uid(result, f"{role}:dimensions", revision=context.revision, profile=context.profile)
    add_dimensions(dataset, (SEGMENT, POSITION) if form == BINARY else (POSITION,), uid=organization)
    return dataset


def _segments(group: Group, form: str, result: PipelineResult, context: ResultContext) -> list[Dataset]:
    background = [_background()] if form == LABELMAP else []
    numbered = enumerate(group.segments, start=1)
    return [*background, *(_segment(segment, number, result, context) for number, segment in numbered)]


def _background() -> Dataset:
    """Return the description of label 0, which every label of a label map needs (PS3.3 C.8.20.2.3)."""
    description = Dataset()
    description.SegmentNumber, description.SegmentLabel = 0, "Background"
    description.SegmentAlgorithmType, description.SegmentAlgorithmName = "AUTOMATIC", "dokuei"
    description.SegmentedPropertyCategoryCodeSequence = Items([code_item(dcm("125040"))])
    description.SegmentedPropertyTypeCodeSequence = Items([code_item(dcm("125040"))])
    return description


def _segment(segment: Segment, number: int, result: PipelineResult, context: ResultContext) -> Dataset:
    """Return the description of a segment; one that shows a finding has the finding's tracking identifiers."""
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label(segment.label),
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.property),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(result),
        tracking_uid=tracking_uid(result, segment.key, revision=context.revision, profile=context.profile),
        tracking_id=label(f"{result.pipeline} {segment.key}"),
        display_color=hd.color.CIELabColor.from_rgb(*COLOURS[(number - 1) % len(COLOURS)]),
    )
    if segment.laterality is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = Items([code_item(segment.laterality)])
    return description


def _algorithm(result: PipelineResult) -> hd.AlgorithmIdentificationSequence:
    package = result.package
    name, version = (package.name, package.version) if package else ("dokuei", "none")
    return hd.AlgorithmIdentificationSequence(
        name=latin(name), family=codes.DCM.ArtificialIntelligence, version=latin(version)
    )


def _pixels(group: Group, frames: Sequence[Frame], form: str) -> Bulk:
    rows, columns = group.label_map.labels.shape[1:]
    size = len(frames) * rows * columns
    if form == LABELMAP:
        return pixels("PixelData", "OB", length=size, planes=lambda: _label_planes(group, frames))
    return pixels("PixelData", "OB", length=-(-size // 8), planes=lambda: packed(_bit_planes(group, frames)))


def _label_planes(group: Group, frames: Sequence[Frame]) -> Iterator[bytes]:
    for frame in frames:
        yield group.numbers[group.label_map.labels[frame.slice_index]].tobytes()


def _bit_planes(group: Group, frames: Sequence[Frame]) -> Iterator[NDArray[np.bool_]]:
    for frame in frames:
        yield (group.numbers == frame.segment)[group.label_map.labels[frame.slice_index]]


def packed(planes: Iterable[NDArray[np.bool_]]) -> Iterator[bytes]:
    """Pack planes of bits, first pixel in the lowest bit; frames follow one another without padding (PS3.5 8.1.1)."""
    rest = np.zeros(0, dtype=np.bool_)
    for plane in planes:
        bits = np.concatenate([rest, plane.ravel()])
        whole = len(bits) - len(bits) % 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()
