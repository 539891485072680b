# SPDX-License-Identifier: Apache-2.0
"""Where the frames of an enhanced multi-frame image lie, from the header alone."""

from pathlib import Path

from service.dicom.describe import frame_scopes, slice_plane
from service.dicom.parsing import PARSE_FAULTS, parse_dataset_header, quietly
from service.domain.errors import DicomStructureError
from service.domain.image import SlicePlane

_TAGS = (0x00200032, 0x00200037, 0x00280008, 0x52009229, 0x52009230)
"""Position, orientation, number of frames, shared and per-frame functional groups."""


@quietly()
def frame_planes(path: Path) -> tuple[SlicePlane, ...] | None:
    """Return the plane of every frame in stored order; None when one does not say.

    Raises
    ------
    DicomStructureError
        The header or its functional groups cannot be parsed.
    """
    dataset = parse_dataset_header(path, keep=_TAGS)
    try:
        frames = range(1, int(dataset.get("NumberOfFrames") or 1) + 1)
        planes = [slice_plane(frame_scopes(dataset, number), number) for number in frames]
    except PARSE_FAULTS as error:
        raise DicomStructureError(
            f"functional groups cannot be parsed ({type(error).__name__}); send the object again"
        ) from error
    known = tuple(plane for plane in planes if plane is not None)
    return known if len(known) == len(planes) else None
