# SPDX-License-Identifier: Apache-2.0
"""A CT series as one Enhanced CT image with a frame for each slice (PS3.3 A.38)."""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage

from models.phantoms.dicom import coded, phantom_uid
from models.phantoms.variants.stored import Datasets, tags

_FRAME_TYPE = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
_MOVED = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "KVP",
    "ConvolutionKernel",
    "GantryDetectorTilt",
    "TableHeight",
    "RotationDirection",
    "ReconstructionDiameter",
    "AnatomicRegionSequence",
    "AcquisitionDate",
    "AcquisitionTime",
    "BodyPartExamined",
    "LossyImageCompressionRatio",
)
"""What a functional group says for an Enhanced CT image, or an attribute that its modules do not have."""


def item(**values: Any) -> Dataset:
    """Return a sequence item with these attributes."""
    made = Dataset()
    tags(**values)(made)
    return made


def one(**values: Any) -> Sequence:
    """Return a sequence of one item with these attributes."""
    return Sequence([item(**values)])


def as_enhanced(images: Datasets) -> Datasets:
    """Put the slices into one image, in mixed order: every second one first."""
    mixed = [*images[1::2], *images[::2]]
    dataset = images[0]
    shared, frames = _shared(dataset), [_frame(image, place) for place, image in enumerate(mixed, start=1)]
    pixels = b"".join(image.PixelData for image in mixed)
    date_time = f"{dataset.AcquisitionDate}{dataset.AcquisitionTime}"
    tags(**dict.fromkeys(_MOVED))(dataset)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = phantom_uid(dataset.SOPInstanceUID, "enhanced")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData, dataset.NumberOfFrames = pixels, len(mixed)
    _set_image(dataset, date_time)
    _set_dimensions(dataset)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return [dataset]


def _set_image(dataset: Dataset, date_time: str) -> None:
    """Set the Enhanced CT Image and Multi-frame modules (PS3.3 C.8.15.2, C.7.6.16)."""
    tags(
        ImageType=_FRAME_TYPE,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ContentQualification="RESEARCH",
        AcquisitionDateTime=date_time,
        AcquisitionDuration=4.0,
        MultienergyCTAcquisition="NO",
        PresentationLUTShape="IDENTITY",
        BurnedInAnnotation="NO",
        AcquisitionContextSequence=Sequence(),
        InstanceCreationDate=date_time[:8],
        InstanceCreationTime=date_time[8:],
    )(dataset)


def _set_dimensions(dataset: Dataset) -> None:
    """Say that frames are ordered by their position (PS3.3 C.7.6.17)."""
    uid = phantom_uid(dataset.SOPInstanceUID, "dimension")
    dataset.DimensionOrganizationSequence = one(DimensionOrganizationUID=uid)
    dataset.DimensionIndexSequence = one(
        DimensionOrganizationUID=uid,
        DimensionIndexPointer=0x00200032,
        FunctionalGroupPointer=0x00209113,
        DimensionDescriptionLabel="Image Position (Patient)",
    )


def _shared(image: Dataset) -> Dataset:
    """Return the functional groups that all frames share (PS3.3 table A.38-2)."""
    return item(
        PixelMeasuresSequence=one(PixelSpacing=image.PixelSpacing, SliceThickness=image.SliceThickness),
        PlaneOrientationSequence=one(ImageOrientationPatient=image.ImageOrientationPatient),
        FrameAnatomySequence=one(
            FrameLaterality="U", AnatomicRegionSequence=Sequence([coded("51185008", "SCT", "Chest")])
        ),
        FrameVOILUTSequence=one(WindowCenter=image.WindowCenter, WindowWidth=image.WindowWidth),
        PixelValueTransformationSequence=one(
            RescaleIntercept=image.RescaleIntercept, RescaleSlope=image.RescaleSlope, RescaleType="HU"
        ),
        IrradiationEventIdentificationSequence=one(IrradiationEventUID=phantom_uid(image.SOPInstanceUID, "event")),
        **_acquisition(image),
    )


def _acquisition(image: Dataset) -> dict[str, Sequence]:
    """Return how the scanner was set (PS3.3 C.8.15.3)."""
    return {
        "CTImageFrameTypeSequence": one(
            FrameType=_FRAME_TYPE,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
        ),
        "CTAcquisitionTypeSequence": one(AcquisitionType="SPIRAL", ConstantVolumeFlag="NO", FluoroscopyFlag="NO"),
        "CTAcquisitionDetailsSequence": one(
            RotationDirection="CW",
            RevolutionTime=0.5,
            SingleCollimationWidth=0.6,
            TotalCollimationWidth=38.4,
            TableHeight=image.TableHeight,
            GantryDetectorTilt=0.0,
            DataCollectionDiameter=500.0,
        ),
        "CTTableDynamicsSequence": one(TableSpeed=46.0, TableFeedPerRotation=23.0, SpiralPitchFactor=0.6),
        "CTGeometrySequence": one(DistanceSourceToDetector=1085.0, DistanceSourceToDataCollectionCenter=595.0),
        "CTReconstructionSequence": one(
            ReconstructionAlgorithm="FILTER_BACK_PROJ",
            ConvolutionKernel=image.ConvolutionKernel,
            ConvolutionKernelGroup="LUNG",
            ReconstructionDiameter=image.ReconstructionDiameter,
            ReconstructionPixelSpacing=image.PixelSpacing,
            ReconstructionAngle=360.0,
            ImageFilter="NONE",
        ),
        "CTExposureSequence": one(
            ExposureTimeInms=500.0, XRayTubeCurrentInmA=200.0, ExposureInmAs=100.0, ExposureModulationType="NONE"
        ),
        "CTXRayDetailsSequence": one(KVP=120.0, FocalSpots=[1.2], FilterType="NONE", FilterMaterial=["ALUMINUM"]),
        "CTPositionSequence": one(
            TablePosition=0.0,
            DataCollectionCenterPatient=[0.0, 0.0, 0.0],
            ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
        ),
    }


def _frame(image: Dataset, place: int) -> Dataset:
    """Return the functional groups of one frame."""
    moment = f"{image.AcquisitionDate}{image.AcquisitionTime}"
    return item(
        FrameContentSequence=one(
            FrameAcquisitionDateTime=moment,
            FrameReferenceDateTime=moment,
            FrameAcquisitionDuration=500.0,
            FrameAcquisitionNumber=1,
            DimensionIndexValues=[place],
        ),
        PlanePositionSequence=one(ImagePositionPatient=image.ImagePositionPatient),
    )
