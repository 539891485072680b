# SPDX-License-Identifier: Apache-2.0
"""The frames of segmentations and parametric maps: where they lie, what they come from, how they are indexed.

highdicom reads these objects; it does not write them here because it holds all frames at once, draws a random Dimension
Organization UID and refuses valid character sets (results.md 5.5).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from service.codes import Code, dcm
from service.dicom.describe import frame_scopes
from service.domain.instance import Instance
from service.domain.result import SourceSlice
from service.results.object.equipment import code_item, reference_item
from service.results.object.part10 import Bulk, elements, item, numbers, sequence_of_one
from service.results.source.sources import Sources

POSITION = ("ImagePositionPatient", 0x00200032, 0x00209113)
FRAME_CONTENT, DIMENSION_INDEX_VALUES = 0x00209111, 0x00209157
SEGMENT = ("ReferencedSegmentNumber", 0x0062000B, 0x0062000A)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where a slice's pixels lie in the patient, in the words (decimal strings) that are to be written."""

    position: tuple[str, ...]
    orientation: tuple[str, ...]
    spacing: tuple[str, ...]
    thickness: str

    @property
    def height(self) -> float:
        """The position along the normal of the slice, in mm."""
        a, b, c, d, e, f = (float(value) for value in self.orientation)
        normal = (b * f - c * e, c * d - a * f, a * e - b * d)
        return sum(float(value) * along for value, along in zip(self.position, normal, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame: the index of its slice, and the number of its segment (None: it has none)."""

    slice_index: int
    segment: int | None = None


def source_grid(place: SourceSlice, sources: Sources) -> Grid | None:
    """Return the grid of a stored slice in the source's own words; None when its header does not place it."""
    scopes = frame_scopes(sources.header(place.sop_instance_uid), place.frame_number or 1)
    found = {keyword: _words(scopes, keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient")}
    spacing, thickness = _words(scopes, "PixelSpacing"), _words(scopes, "SliceThickness")
    if (len(found["ImagePositionPatient"]), len(found["ImageOrientationPatient"]), len(spacing)) != (3, 6, 2):
        return None
    return Grid(
        position=found["ImagePositionPatient"],
        orientation=found["ImageOrientationPatient"],
        spacing=spacing,
        thickness=thickness[0] if thickness else "",
    )


def _words(scopes: Sequence[Dataset], keyword: str) -> tuple[str, ...]:
    value: Any = next((scope[keyword].value for scope in scopes if scope.get(keyword) not in (None, "")), ())
    return (str(value),) if isinstance(value, str | float | int) else tuple(str(entry) for entry in value)


def add_dimensions(dataset: Dataset, pointers: Sequence[tuple[str, int, int]], *, uid: str) -> None:
    """Index the frames by these attributes (PS3.3 C.7.6.17); one organization, its UID derived."""
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    dataset.DimensionOrganizationSequence = Items([organization])
    dataset.DimensionIndexSequence = Items([_dimension(pointer, uid=uid) for pointer in pointers])


def _dimension(pointer: tuple[str, int, int], *, uid: str) -> Dataset:
    dimension = Dataset()
    dimension.DimensionOrganizationUID = uid
    dimension.DimensionDescriptionLabel, index, group = pointer
    dimension.DimensionIndexPointer, dimension.FunctionalGroupPointer = Tag(index), Tag(group)
    return dimension


def shared_groups(grids: Sequence[Grid]) -> Dataset:
    """Return the functional groups that all frames share: pixel measures and orientation (PS3.3 C.7.6.16.2)."""
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(grids[0].spacing)
    distance, thickness = slice_distance(grids), grids[0].thickness
    if thickness or distance:  # of a single slice without a thickness neither is known
        measures.SliceThickness, measures.SpacingBetweenSlices = thickness or distance, distance or thickness
    orientation.ImageOrientationPatient = list(grids[0].orientation)
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    return shared


def slice_distance(grids: Sequence[Grid]) -> str:
    """Return the median distance of neighbouring slices; "" of one slice."""
    heights = sorted(grid.height for grid in grids)
    steps = sorted(upper - lower for lower, upper in pairwise(heights))
    return f"{steps[len(steps) // 2]:.10g}"[:16] if steps else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceParts:
    """What the functional groups of all frames of a slice have in common, encoded once."""

    grid: Grid
    source: bytes
    position: bytes


def slice_parts(grid: Grid, place: SourceSlice, sources: Sources, *, how: Code, preserved: bool) -> SliceParts:
    """Encode where a slice lies and what it was made from; `how` is the derivation's code."""
    return SliceParts(
        grid=grid,
        source=elements(derivation(place, sources, how=how, preserved=preserved)),
        position=elements(_position(grid)),
    )


def frame_groups(frames: Sequence[Frame], parts: Sequence[SliceParts]) -> Bulk:
    """Return the Per-frame Functional Groups Sequence, encoded."""
    ranks = _ranks([part.grid for part in parts], sorted({frame.slice_index for frame in frames}))
    content = [_frame_item(frame, parts[frame.slice_index], ranks[frame.slice_index]) for frame in frames]
    return Bulk(
        keyword="PerFrameFunctionalGroupsSequence", vr="SQ", length=sum(map(len, content)), chunks=lambda: content
    )


def _frame_item(frame: Frame, part: SliceParts, rank: int) -> bytes:
    """Return the functional groups of a frame in the order of their tags."""
    index = (rank,) if frame.segment is None else (frame.segment, rank)
    content = sequence_of_one(FRAME_CONTENT, numbers(DIMENSION_INDEX_VALUES, "UL", index))
    segment = b""
    if frame.segment is not None:
        segment = sequence_of_one(SEGMENT[2], numbers(SEGMENT[1], "US", (frame.segment,)))
    return item(part.source + content + part.position + segment)


def _ranks(grids: Sequence[Grid], used: Sequence[int]) -> dict[int, int]:
    """Number the slices that frames stand on from 1, by rising position."""
    ordered = sorted(used, key=lambda index: grids[index].height)
    return {index: rank for rank, index in enumerate(ordered, start=1)}


def derivation(place: SourceSlice, sources: Sources, *, how: Code, preserved: bool) -> Dataset:
    """Return the Derivation Image functional group (PS3.3 C.7.6.16.2.6): the slice that a frame was made from."""
    source: Instance = sources.instance(place.sop_instance_uid)
    reference = reference_item(source, frame_number=place.frame_number)
    reference.PurposeOfReferenceCodeSequence = Items([code_item(dcm("121322"))])
    if preserved:
        reference.SpatialLocationsPreserved = "YES"
    image, group = Dataset(), Dataset()
    image.SourceImageSequence = Items([reference])
    image.DerivationCodeSequence = Items([code_item(how)])
    group.DerivationImageSequence = Items([image])
    return group


def _position(grid: Grid) -> Dataset:
    position, group = Dataset(), Dataset()
    position.ImagePositionPatient = list(grid.position)
    group.PlanePositionSequence = Items([position])
    return group


def pixels(keyword: str, vr: str, *, length: int, planes: Callable[[], Iterator[bytes]]) -> Bulk:
    """Return pixel data that is made plane by plane while it is written."""
    return Bulk(keyword=keyword, vr=vr, length=length, chunks=planes)
