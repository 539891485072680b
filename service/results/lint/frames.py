# SPDX-License-Identifier: Apache-2.0
"""Rules for the frames of segmentations and parametric maps: counted, indexed, placed in the patient, with a source."""

import math
from collections.abc import Callable
from itertools import pairwise

from pydicom.dataset import Dataset


def frames_are_counted(dataset: Dataset) -> list[str]:
    """There are as many functional groups and pixels as frames are said to be (PS3.3 C.7.6.16)."""
    frames, groups = int(dataset.NumberOfFrames), len(dataset.PerFrameFunctionalGroupsSequence)
    problems = [] if groups == frames else [f"'NumberOfFrames' is {frames}, but {groups} frames are described"]
    bits = frames * dataset.Rows * dataset.Columns * dataset.BitsAllocated
    expected = (bits + 7) // 8
    actual = len(dataset.get("PixelData") or dataset.get("FloatPixelData") or b"")
    if actual != expected + expected % 2:
        problems.append(f"pixel data has {actual} bytes; its description asks for {expected + expected % 2}")
    return problems


def dimensions_agree(dataset: Dataset) -> list[str]:
    """Each frame has one index for each dimension, no two frames the same, all of one organization (C.7.6.17)."""
    uids = {str(item.DimensionOrganizationUID) for item in dataset.DimensionIndexSequence}
    listed = {str(item.DimensionOrganizationUID) for item in dataset.DimensionOrganizationSequence}
    problems = [] if uids == listed else ["a dimension is of an organization that is not listed"]
    indices = [_index(frame) for frame in dataset.PerFrameFunctionalGroupsSequence]
    if {len(index) for index in indices} != {len(dataset.DimensionIndexSequence)}:
        problems.append("a frame does not have one index for each dimension")
    if len(set(indices)) != len(indices):
        problems.append("two frames have the same index")
    return problems


def positions_are_ranked(dataset: Dataset) -> list[str]:
    """The last index of a frame counts the places in the patient: one number for each place, rising along the stack."""
    ranks: dict[int, set[tuple[float, ...]]] = {}
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        position = tuple(float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient)
        ranks.setdefault(_index(frame)[-1], set()).add(position)
    if any(len(places) != 1 for places in ranks.values()) or sorted(ranks) != list(range(1, len(ranks) + 1)):
        return ["the index of the position is not one number, counted from 1, for each place"]
    normal = _normal(dataset)
    heights = [math.fsum(a * b for a, b in zip(next(iter(ranks[rank])), normal, strict=True)) for rank in sorted(ranks)]
    is_rising = all(lower < upper for lower, upper in pairwise(heights))
    return [] if is_rising else ["the index of the position does not rise with it"]


def is_placed(dataset: Dataset) -> list[str]:
    """Frame of reference, spacing and orientation place the frames in the patient; without one Slicer crashes."""
    problems = [] if dataset.get("FrameOfReferenceUID") else ["'FrameOfReferenceUID' is missing or empty"]
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    sizes = [*measures.PixelSpacing]
    sizes += [measures[keyword].value for keyword in ("SliceThickness", "SpacingBetweenSlices") if keyword in measures]
    if any(not float(size) > 0 for size in sizes):
        problems.append(f"pixel measures are {[str(size) for size in sizes]}; each must be above 0")
    if abs(math.hypot(*_normal(dataset)) - 1) > 1e-3:
        problems.append("'ImageOrientationPatient' is not two directions at right angles")
    return problems


def frames_have_a_listed_source(dataset: Dataset) -> list[str]:
    """Each frame names the image that it was made from, and that image is listed (PS3.3 C.12.2)."""
    listed = {
        str(item.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or []
        for item in series.ReferencedInstanceSequence
    }
    named = [
        str(source.ReferencedSOPInstanceUID)
        for frame in dataset.PerFrameFunctionalGroupsSequence
        for image in frame.DerivationImageSequence
        for source in image.SourceImageSequence
    ]
    problems = [f"source image {uid} is not in 'ReferencedSeriesSequence'" for uid in set(named) - listed]
    problems += [f"image {uid} is listed, but no frame is made from it" for uid in listed - set(named)]
    return problems if len(named) >= dataset.NumberOfFrames else [*problems, "a frame has no source image"]


def content_is_labelled(dataset: Dataset) -> list[str]:
    """Content Label is a word of capitals that a list shows, Content Description the result line."""
    content_label = str(dataset.get("ContentLabel", ""))
    problems = []
    if not 0 < len(content_label) <= 16 or content_label != content_label.upper():
        problems.append(f"'ContentLabel' is {content_label!r}; it must be 1 to 16 capitals")
    if not dataset.get("ContentDescription"):
        problems.append("'ContentDescription' is empty; it holds the result line")
    return problems


def _index(frame: Dataset) -> tuple[int, ...]:
    value = frame.FrameContentSequence[0].DimensionIndexValues
    return (value,) if isinstance(value, int) else tuple(int(entry) for entry in value)


def _normal(dataset: Dataset) -> tuple[float, float, float]:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    a, b, c, d, e, f = (float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    return b * f - c * e, c * d - a * f, a * e - b * d


FRAME_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    frames_are_counted,
    dimensions_agree,
    positions_are_ranked,
    is_placed,
    frames_have_a_listed_source,
    content_is_labelled,
)
