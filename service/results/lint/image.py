# SPDX-License-Identifier: Apache-2.0
"""Rules for pictures: what makes a colour Secondary Capture display everywhere and be mistaken for nothing else."""

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from service.domain.provenance import HEATMAP_IMAGE_TYPE
from service.results.lint.every_object import items_below
from service.results.picture.heatmap_sc import SOURCE_MODALITIES

MODALITIES = frozenset({"OT", "CT", *SOURCE_MODALITIES})


def is_derived_secondary_capture(dataset: Dataset) -> list[str]:
    """SOP class and Image Type say: derived, not a new exposure (PS3.3 C.7.6.1.1.2)."""
    problems = []
    if dataset.get("SOPClassUID") != SecondaryCaptureImageStorage:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not Secondary Capture Image Storage")
    if tuple(dataset.get("ImageType") or ()) != HEATMAP_IMAGE_TYPE:
        problems.append(f"'ImageType' is {dataset.get('ImageType')}; it must be DERIVED\\SECONDARY\\AI_HEATMAP")
    return problems


def tells_of_burnt_in_text(dataset: Dataset) -> list[str]:
    """Burned In Annotation is YES: the picture carries text."""
    return [] if dataset.get("BurnedInAnnotation") == "YES" else ["'BurnedInAnnotation' must be 'YES'"]


def does_not_pose_as_mammogram(dataset: Dataset) -> list[str]:
    """No hanging protocol and no other CAD may take the picture for an exposure (results.md 4.4)."""
    problems = [] if dataset.get("Modality") in MODALITIES else [f"'Modality' is {dataset.get('Modality')!r}"]
    views = [keyword for keyword in ("ViewPosition", "ViewCodeSequence") if keyword in dataset]
    problems += [f"'{keyword}' is present, so that the picture would be hung as an exposure" for keyword in views]
    if "Laterality" in dataset and "ImageLaterality" in dataset:
        problems.append("'Laterality' and 'ImageLaterality' are both present")
    return problems


def pixels_are_rgb(dataset: Dataset) -> list[str]:
    """Pixel Data has the size that its description asks for."""
    if (dataset.get("PhotometricInterpretation"), dataset.get("SamplesPerPixel")) != ("RGB", 3):
        return ["the picture is not RGB with three samples per pixel"]
    size = dataset.Rows * dataset.Columns * 3
    expected = size + size % 2
    actual = len(dataset.PixelData)
    return [] if actual == expected else [f"'PixelData' has {actual} bytes; its description asks for {expected}"]


def names_its_sources(dataset: Dataset) -> list[str]:
    """Each source image is referenced, and listed with its series (PS3.3 C.12.2)."""
    listed = {
        item.ReferencedSOPInstanceUID
        for series in dataset.get("ReferencedSeriesSequence", [])
        for item in series.ReferencedInstanceSequence
    }
    sources = [item.ReferencedSOPInstanceUID for item in dataset.get("SourceImageSequence", [])]
    if not sources:
        return ["'SourceImageSequence' is missing or empty"]
    return [f"source image {uid} is not in 'ReferencedSeriesSequence'" for uid in sources if uid not in listed]


def has_place_or_none(dataset: Dataset) -> list[str]:
    """A position in the patient needs orientation, spacing and a frame of reference."""
    group = ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID")
    present = [keyword for keyword in group if keyword in dataset]
    if present and (len(present) < len(group) or "PixelSpacing" not in dataset):
        return [f"only {', '.join(present)} of the attributes that place a picture in the patient are present"]
    return []


def holds_no_self_reference(dataset: Dataset) -> list[str]:
    """A picture does not refer to itself."""
    own = dataset.get("SOPInstanceUID")
    loops = [item for item in items_below(dataset) if item.get("ReferencedSOPInstanceUID") == own]
    return ["the picture refers to itself"] if loops else []


IMAGE_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_derived_secondary_capture,
    tells_of_burnt_in_text,
    does_not_pose_as_mammogram,
    pixels_are_rgb,
    names_its_sources,
    has_place_or_none,
    holds_no_self_reference,
)
