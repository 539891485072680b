# SPDX-License-Identifier: Apache-2.0
"""Rules for segmentations: each segment says what it is, and has pixels; each pixel is of a segment."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from service.results.overlay.segmentation import BINARY, IMAGE_TYPE, LABELMAP, SOP_CLASSES

MAX_LABEL = 64
PROPERTIES = ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")


def is_segmentation(dataset: Dataset) -> list[str]:
    """SOP class, form, bits and Image Type belong together (PS3.3 C.8.20.2)."""
    form = str(dataset.get("SegmentationType", ""))
    problems = []
    if form not in SOP_CLASSES or dataset.get("SOPClassUID") != SOP_CLASSES[form]:
        problems.append(f"'SegmentationType' {form!r} does not go with SOP class {dataset.get('SOPClassUID')}")
    if dataset.get("BitsAllocated") != (1 if form == BINARY else 8):
        problems.append(f"'BitsAllocated' is {dataset.get('BitsAllocated')}, which does not go with {form!r}")
    if tuple(dataset.get("ImageType") or ()) != IMAGE_TYPE:
        problems.append(f"'ImageType' is {dataset.get('ImageType')}; it must be DERIVED\\PRIMARY")
    if dataset.get("Modality") != "SEG":
        problems.append(f"'Modality' is {dataset.get('Modality')!r}, not 'SEG'")
    return problems


def segments_are_numbered(dataset: Dataset) -> list[str]:
    """Segments count from 1; a label map also describes its background, 0."""
    first = 0 if dataset.get("SegmentationType") == LABELMAP else 1
    numbers = [int(segment.SegmentNumber) for segment in dataset.SegmentSequence]
    expected = list(range(first, first + len(numbers)))
    return [] if numbers == expected and numbers[-1] > 0 else [f"segments are numbered {numbers}, not {expected}"]


def segments_say_what_they_are(dataset: Dataset) -> list[str]:
    """Each segment has a label, a category, a property, and the algorithm that drew it."""
    return [problem for segment in drawn_segments(dataset) for problem in _unsaid(segment)]


def _unsaid(segment: Dataset) -> list[str]:
    number = segment.SegmentNumber
    problems = [
        f"segment {number} does not have one '{keyword}'"
        for keyword in PROPERTIES
        if len(segment.get(keyword) or []) != 1
    ]
    if not 0 < len(str(segment.get("SegmentLabel", ""))) <= MAX_LABEL:
        problems.append(f"segment {number} does not have a label of 1 to 64 characters")
    if segment.get("SegmentAlgorithmType") != "AUTOMATIC" or not segment.get("SegmentAlgorithmName"):
        problems.append(f"segment {number} does not say which algorithm drew it")
    return problems


def segments_are_tracked(dataset: Dataset) -> list[str]:
    """Each segment has a tracking identifier and UID of its own, by which a report's finding is the same thing."""
    uids = Counter(str(segment.get("TrackingUID", "")) for segment in drawn_segments(dataset))
    problems = [f"tracking UID {uid!r} is used {count} times" for uid, count in uids.items() if count > 1 or not uid]
    unnamed = [segment for segment in drawn_segments(dataset) if not segment.get("TrackingID")]
    return problems + [f"segment {segment.SegmentNumber} has no tracking identifier" for segment in unnamed]


def frames_are_of_segments(dataset: Dataset) -> list[str]:
    """Each frame of bits is of one described segment, the one that its index says, and each segment has a frame."""
    if dataset.get("SegmentationType") != BINARY:
        return []
    described = {int(segment.SegmentNumber) for segment in dataset.SegmentSequence}
    named = [
        (int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber), frame)
        for frame in dataset.PerFrameFunctionalGroupsSequence
    ]
    used = {number for number, _ in named}
    problems = [f"a frame is of segment {number}, which is not described" for number in used - described]
    problems += [f"segment {number} has no frame" for number in described - used]
    wrong = [n for n, frame in named if int(frame.FrameContentSequence[0].DimensionIndexValues[0]) != n]
    return problems + (["the index of a frame names another segment than the frame is of"] if wrong else [])


def no_frame_is_empty(dataset: Dataset) -> list[str]:
    """A frame without a pixel says nothing and costs a viewer time; frames are left out instead."""
    frames, size = int(dataset.NumberOfFrames), dataset.Rows * dataset.Columns
    if dataset.get("SegmentationType") == BINARY and size % 8:
        return []  # frames share bytes there
    planes = np.frombuffer(dataset.PixelData, dtype=np.uint8)[: frames * size * dataset.BitsAllocated // 8]
    empty = np.flatnonzero(~planes.reshape(frames, -1).any(axis=1))
    return [f"frame {number + 1} is empty" for number in empty[:3]]


def labels_are_described(dataset: Dataset) -> list[str]:
    """Each label in a label map is a segment's number, and each segment has a pixel."""
    if dataset.get("SegmentationType") != LABELMAP:
        return []
    frames, size = int(dataset.NumberOfFrames), dataset.Rows * dataset.Columns
    planes = np.frombuffer(dataset.PixelData, dtype=np.uint8)[: frames * size].reshape(frames, size)
    used: set[int] = set()
    for plane in planes:  # numpy counts in 64-bit numbers: all at once would take eight times the file
        used |= set(np.flatnonzero(np.bincount(plane, minlength=256)).tolist())
    described = {int(segment.SegmentNumber) for segment in dataset.SegmentSequence}
    problems = [f"label {number} is not described" for number in sorted(used - described)]
    return problems + [f"segment {number} has no pixel" for number in sorted(described - used - {0})]


def drawn_segments(dataset: Dataset) -> list[Dataset]:
    """Return the segments without the background."""
    return [segment for segment in dataset.SegmentSequence if segment.SegmentNumber != 0]


SEGMENTATION_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_segmentation,
    segments_are_numbered,
    segments_say_what_they_are,
    segments_are_tracked,
    frames_are_of_segments,
    no_frame_is_empty,
    labels_are_described,
)
