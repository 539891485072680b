# SPDX-License-Identifier: Apache-2.0
"""How chest radiographs are made awkward."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
)

from models.phantoms.chest_radiograph.lateral import lateral_film
from models.phantoms.dicom import coded
from models.phantoms.mammogram.breast import Breast
from models.phantoms.mammogram.view import draw_view
from models.phantoms.variants import stored
from models.phantoms.variants.other_parts import Draw
from models.phantoms.variants.stored import Datasets, copied, each, full, put, tags, values_of

DX_ALONE = (
    "PresentationIntentType",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "PresentationLUTShape",
    "ViewCodeSequence",
    "AnatomicRegionSequence",
    "AcquisitionContextSequence",
    "DetectorType",
    "PositionerType",
    "ImageLaterality",
)


VIEW_CODES = {
    "AP": coded("399348003", "SCT", "antero-posterior"),
    "LL": coded("399173006", "SCT", "left lateral"),
}


def as_cr(image: Dataset) -> None:
    """Make it a Computed Radiography image (PS3.3 A.2), which may have what DX may not."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality = "CR"
    tags(**dict.fromkeys(DX_ALONE))(image)


def view(name: str) -> stored.Edit:
    """Return the edit that says another view."""
    return tags(ViewPosition=name, ViewCodeSequence=Sequence([VIEW_CODES[name]]))


def lateral_pixels(image: Dataset) -> None:
    """Show a lateral film."""
    shape = (int(image.Rows), int(image.Columns))
    picture = lateral_film(13, shape=shape, pitch_mm=float(image.ImagerPixelSpacing[0]))
    put(image, np.rint(picture * full(image)))


def breast_pixels(image: Dataset) -> None:
    """Show a breast under the header of a chest, large enough to fill the film."""
    pitch = 0.4 * float(image.ImagerPixelSpacing[0])
    picture = draw_view(Breast(side="L", seed=5, depth_mm=120), "MLO", pitch_mm=pitch).grey
    canvas = np.zeros((int(image.Rows), int(image.Columns)))
    rows, columns = (min(pair) for pair in zip(canvas.shape, picture.shape, strict=True))
    canvas[:rows, :columns] = picture[:rows, :columns]
    put(image, np.rint(canvas * full(image)))


def other_part(draw: Draw) -> stored.Edit:
    """Return the edit that shows another part of the body under the header of a PA chest film."""

    def edit(image: Dataset) -> None:
        shape = (int(image.Rows), int(image.Columns))
        put(image, np.rint(draw(14, shape=shape, pitch_mm=float(image.ImagerPixelSpacing[0])) * full(image)))

    return edit


def cut_at(*, top: float = 0.0, bottom: float = 0.0) -> stored.Edit:
    """Return the edit that cuts shares of the film's height off."""

    def edit(image: Dataset) -> None:
        values = values_of(image)
        rows = values.shape[0]
        put(image, values[round(top * rows) : rows - round(bottom * rows)])

    return edit


def half_film(image: Dataset) -> None:
    """Cut off a side of the film."""
    values = values_of(image)
    put(image, values[:, : round(0.56 * values.shape[1])])


def inverted_untold(image: Dataset) -> None:
    """Reverse the values and say nothing."""
    put(image, full(image) - values_of(image))


def flat(image: Dataset) -> None:
    """Take nearly all contrast away."""
    put(image, values_of(image) // 16 + full(image) // 2)


def burnt_out(image: Dataset) -> None:
    """Leave black and white alone."""
    values = values_of(image)
    put(image, np.clip((values - np.median(values)) * 40, 0, full(image)))


def coarse(factor: int) -> stored.Edit:
    """Return the edit that bins pixels, so that Imager Pixel Spacing grows by the factor."""

    def edit(image: Dataset) -> None:
        values = values_of(image)
        rows, columns = (size // factor * factor for size in values.shape)
        blocks = values[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
        put(image, np.rint(blocks.mean(axis=(1, 3))))
        image.ImagerPixelSpacing = [round(float(spacing) * factor, 4) for spacing in image.ImagerPixelSpacing]

    return edit


def again(images: Datasets, *edits: stored.Edit) -> Datasets:
    """Add a second image to the study, changed."""
    second = copied(images[0], "second", InstanceNumber=2)
    each(*edits)([second])
    return [*images, second]


def two_films(images: Datasets) -> Datasets:
    """Add a film of a minute earlier."""
    return again(images, tags(ContentTime="085900"))


def with_lateral(images: Datasets) -> Datasets:
    """Add a lateral film."""
    return again(images, view("LL"), tags(PatientOrientation=["P", "F"]), lateral_pixels)


def screen_capture(image: Dataset) -> None:
    """Make it a Secondary Capture of the film (PS3.3 A.8.1)."""
    as_cr(image)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    tags(Modality="DX", ConversionType="WSD", ImagerPixelSpacing=None, KVP=None)(image)
    tags(WindowCenter=None, WindowWidth=None, RescaleIntercept=None, RescaleSlope=None, RescaleType=None)(image)
