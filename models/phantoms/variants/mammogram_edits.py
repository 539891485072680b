# SPDX-License-Identifier: Apache-2.0
"""How mammograms are made awkward."""

from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from models.phantoms.dicom import coded, phantom_uid
from models.phantoms.mammogram.files import SPOT
from models.phantoms.variants.stored import Datasets, Edit, copied, each, full, put, tags, values_of

MAGNIFICATION = coded("399163009", "SCT", "Magnification")


IMPLANT_DISPLACED = coded("399209000", "SCT", "Implant Displaced")


def modified(modifier: Dataset, factor: float = 1.0) -> Edit:
    """Return the edit that gives the view a modifier and a magnification factor."""

    def edit(image: Dataset) -> None:
        image.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([deepcopy(modifier)])
        image.EstimatedRadiographicMagnificationFactor = factor

    return edit


def view(value: str, meaning: str, position: str) -> Edit:
    """Return the edit that makes it another view."""

    def edit(image: Dataset) -> None:
        code = coded(value, "SCT", meaning)
        code.ViewModifierCodeSequence = Sequence()
        tags(ViewCodeSequence=Sequence([code]), ViewPosition=position)(image)

    return edit


def implant_pixels(image: Dataset) -> None:
    """Draw a silicone implant against the chest wall, nearly white."""
    values, spacing = values_of(image), float(image.ImagerPixelSpacing[0])
    row, column = np.indices(values.shape) * spacing
    wall = 0.0 if image.PatientOrientation[0] == "A" else values.shape[1] * spacing
    inside = np.hypot((row - values.shape[0] * spacing / 2) / 42, (column - wall) / 38) < 1
    values[inside] = round(0.93 * full(image))
    put(image, values)


def with_raw_siblings(images: Datasets) -> Datasets:
    """Add a For Processing image for each view."""
    raws = [copied(image, "raw", SeriesInstanceUID=phantom_uid(image.SeriesInstanceUID, "raw")) for image in images]
    return [*images, *each(for_processing)(raws)]


def for_processing(image: Dataset) -> None:
    """Say that the image is raw data."""
    image.SOPClassUID = DigitalMammographyXRayImageStorageForProcessing
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    tags(PresentationIntentType="FOR PROCESSING", WindowCenter=None, WindowWidth=None, VOILUTFunction=None)(image)


def digitised(image: Dataset) -> None:
    """Make it a digitised film: Secondary Capture (PS3.3 A.8.1) of a breast, as scanners of films sent them."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.ConversionType = "DF"
    del image.ViewCodeSequence[0].ViewModifierCodeSequence
    for keyword in (
        "PresentationIntentType",
        "PixelIntensityRelationship",
        "PixelIntensityRelationshipSign",
        "PresentationLUTShape",
        "VOILUTFunction",
        "WindowCenter",
        "WindowWidth",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "DetectorType",
        "DetectorConfiguration",
        "ImagerPixelSpacing",
        "AcquisitionContextSequence",
    ):
        tags(**{keyword: None})(image)


def tagged_right(image: Dataset) -> None:
    """Say that it is a right breast."""
    image.ImageLaterality = "R"


def chest_wall_untold(image: Dataset) -> None:
    """Let Patient Orientation point to the wrong side."""
    image.PatientOrientation = ["P" if image.PatientOrientation[0] == "A" else "A", image.PatientOrientation[1]]


def inverted_untold(image: Dataset) -> None:
    """Reverse the values and say nothing."""
    put(image, full(image) - values_of(image))


def air_is_padding(image: Dataset) -> None:
    """Say that 0, the value of the air, is padding."""
    image.add_new("PixelPaddingValue", "US", 0)


def cut(image: Dataset) -> None:
    """Leave the lower fifth of the picture outside the field, and say so: of a small breast that is enough."""
    values = values_of(image)
    put(image, values[: values.shape[0] * 4 // 5])
    image.PartialView = "YES"
    image.PartialViewDescription = "lower part not shown"


def binned(image: Dataset) -> None:
    """Make pixels twice as large, as a detector that bins does."""
    values = values_of(image)
    rows, columns = (size // 2 * 2 for size in values.shape)
    put(image, np.rint(values[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))))
    image.ImagerPixelSpacing = [round(2 * float(spacing), 4) for spacing in image.ImagerPixelSpacing]


def only_cc(images: Datasets) -> Datasets:
    """Leave the cranio-caudal views."""
    return [image for image in images if image.ViewPosition == "CC"]


def without_first(images: Datasets) -> Datasets:
    """Leave out the first view."""
    return images[1:]


def with_spot(images: Datasets) -> Datasets:
    """Add a spot compression view of the first breast to a whole exam."""
    spot = copied(images[0], "spot", SeriesInstanceUID=phantom_uid(images[0].SeriesInstanceUID, "spot"))
    modified(SPOT, 1.5)(spot)
    return [*images, spot]


def one_side(images: Datasets) -> Datasets:
    """Leave both views of the left breast."""
    return [image for image in images if image.ImageLaterality == "L"]


def repeated(images: Datasets) -> Datasets:
    """Add the first view once more, as an exposure that was repeated."""
    return [*images, copied(images[0], "again")]


def wrong_side_cc(images: Datasets) -> Datasets:
    """Make a whole exam whose left cranio-caudal view says that it is a right one, stored as one of these lies."""
    right = copied(images[0], "other side", ImageLaterality="R")
    return [right, *images[1:], *_mirror_images(images)]


def _mirror_images(images: Datasets) -> Datasets:
    """Return the right breast's views, made of the left one's."""
    sides = []
    for image in images:
        right = copied(image, "right", ImageLaterality="R")
        put(right, values_of(right)[:, ::-1])
        right.PatientOrientation = [
            {"A": "P", "P": "A"}[right.PatientOrientation[0]],
            str(right.PatientOrientation[1]).translate(str.maketrans("LR", "RL")),
        ]
        sides.append(right)
    return sides


def with_tomosynthesis(images: Datasets) -> Datasets:
    """Add a tomosynthesis object of the first breast."""
    tomo = copied(images[0], "tomo", SeriesInstanceUID=phantom_uid(images[0].SeriesInstanceUID, "tomo"))
    tomosynthesis(tomo)
    return [*images, tomo]


def tomosynthesis(image: Dataset) -> None:
    """Make it a tomosynthesis object by name: the node looks no further."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = BreastTomosynthesisImageStorage


def specimen(image: Dataset) -> None:
    """Name a specimen, and leave the view as it is."""
    item = Dataset()
    item.SpecimenIdentifier, item.SpecimenUID = "S-1", phantom_uid(image.SOPInstanceUID, "specimen")
    image.SpecimenDescriptionSequence = Sequence([item])
