# SPDX-License-Identifier: Apache-2.0
"""The SOP classes that the node takes in (PS3.4 B.5)."""

from collections.abc import Iterable, Sequence

from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom.presentation import PresentationContext, build_context

VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
"""The transfer syntax that every peer must support (PS3.5 10.1)."""
UNCOMPRESSED = [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN]
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
"""Study Root Query/Retrieve Information Model - MOVE."""

INPUT_SOP_CLASSES: tuple[str, ...] = tuple(
    str(uid)
    for uid in (
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        DigitalMammographyXRayImageStorageForPresentation,
        DigitalMammographyXRayImageStorageForProcessing,
        CTImageStorage,
        EnhancedCTImageStorage,
        BreastTomosynthesisImageStorage,
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    )
)


def accepted_contexts(
    sop_classes: Iterable[str], transfer_syntaxes: Sequence[str], *, commitment: bool = False
) -> list[PresentationContext]:
    """Return the presentation contexts that a storage SCP with C-ECHO accepts.

    Of several transfer syntaxes proposed in one context, the first in our order is chosen: Explicit VR Little Endian,
    in which a sender keeps its private elements' VRs and needs no compression.
    """
    ordered = sorted(transfer_syntaxes, key=lambda uid: uid != EXPLICIT_VR_LITTLE_ENDIAN)
    verification = build_context(VERIFICATION, UNCOMPRESSED)
    contexts = [verification, *(build_context(uid, ordered) for uid in sop_classes)]
    return [*contexts, _commitment_context()] if commitment else contexts


def _commitment_context() -> PresentationContext:
    """Accept modalities that ask us (we are SCP), and archives that report to us (they are, PS3.4 J.3.3)."""
    context = build_context(STORAGE_COMMITMENT, UNCOMPRESSED)
    context.scu_role = context.scp_role = True
    return context
