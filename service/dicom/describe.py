# SPDX-License-Identifier: Apache-2.0
"""Turns the image modules of a data set, functional groups of the frame included, into a StoredImage."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from service.domain.image import LookupTable, SlicePlane, SpacingSource, StoredImage, VoiFunction, Window, read_only

_CROSS_SECTIONAL = frozenset(("CT", "MR", "PT", "NM"))
_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


def describe_image(dataset: Dataset, pixels: NDArray[Any], *, frame_number: int) -> StoredImage:
    """Combine decoded pixels with what the header says of this frame."""
    scopes = frame_scopes(dataset, frame_number)
    spacing, source = _spacing(scopes)
    multi_frame = int(dataset.get("NumberOfFrames") or 1) > 1
    return StoredImage(
        sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
        pixels=pixels,
        bits_stored=int(dataset.BitsStored),
        photometric_interpretation=str(dataset.PhotometricInterpretation),
        frame_number=frame_number if multi_frame else None,
        modality=_text(scopes, "Modality"),
        rescale_slope=_number(scopes, "RescaleSlope", default=1.0),
        rescale_intercept=_number(scopes, "RescaleIntercept", default=0.0),
        rescale_type=_text(scopes, "RescaleType"),
        modality_lut=next(_lookup_tables(dataset, "ModalityLUTSequence"), None),
        voi_luts=tuple(_lookup_tables(dataset, "VOILUTSequence")),
        windows=tuple(_windows(scopes)),
        presentation_lut_shape=_text(scopes, "PresentationLUTShape"),
        intensity_relationship=_text(scopes, "PixelIntensityRelationship"),
        intensity_sign=int(_number(scopes, "PixelIntensityRelationshipSign", default=0.0)),
        padding=_padding(dataset),
        spacing_mm=spacing,
        spacing_source=source,
        patient_orientation=_patient_orientation(dataset),
        laterality=_text(scopes, "ImageLaterality") or _text(scopes, "Laterality"),
        fov_rotation=_number(scopes, "FieldOfViewRotation", default=0.0),
        fov_horizontal_flip=_text(scopes, "FieldOfViewHorizontalFlip") == "YES",
        plane=slice_plane(scopes, frame_number if multi_frame else None),
    )


def frame_scopes(dataset: Dataset, frame_number: int) -> list[Dataset]:
    """Return where an attribute of the frame may live, most specific first (PS3.3 C.7.6.16)."""
    per_frame = dataset.get(_PER_FRAME) or []
    own = per_frame[frame_number - 1 : frame_number]
    groups = [*own, *(dataset.get(_SHARED) or [])[:1]]
    members = [element.value[0] for group in groups for element in group if element.VR == "SQ" and element.value]
    return [*members, dataset]


def slice_plane(scopes: list[Dataset], frame_number: int | None) -> SlicePlane | None:
    """Return the frame's plane, or None when position or orientation is not given."""
    position = _numbers(scopes, "ImagePositionPatient")
    orientation = _numbers(scopes, "ImageOrientationPatient")
    if len(position) != 3 or len(orientation) != 6:
        return None
    x, y, z = position
    a, b, c, d, e, f = orientation
    return SlicePlane(position_mm=(x, y, z), orientation=(a, b, c, d, e, f), frame_number=frame_number)


def _value(scopes: list[Dataset], keyword: str) -> Any:
    values = (scope.get(keyword) for scope in scopes)
    return next((value for value in values if value not in (None, "")), None)


def _text(scopes: list[Dataset], keyword: str) -> str:
    value = _value(scopes, keyword)
    return "" if value is None else str(value).strip().upper()


def _numbers(scopes: list[Dataset], keyword: str) -> tuple[float, ...]:
    value = _value(scopes, keyword)
    if value is None:
        return ()
    return tuple(float(item) for item in (value if isinstance(value, MultiValue | list) else [value]))


def _number(scopes: list[Dataset], keyword: str, *, default: float) -> float:
    values = _numbers(scopes, keyword)
    return values[0] if values else default


def _windows(scopes: list[Dataset]) -> Iterator[Window]:
    function = _text(scopes, "VOILUTFunction") or "LINEAR"
    explanations = _value(scopes, "WindowCenterWidthExplanation")
    names = [explanations] if isinstance(explanations, str) else list(explanations or ())
    pairs = zip(_numbers(scopes, "WindowCenter"), _numbers(scopes, "WindowWidth"), strict=False)
    known = VoiFunction(function) if function in VoiFunction.__members__ else VoiFunction.LINEAR
    for index, (center, width) in enumerate(pairs):
        if width > 0:
            explanation = str(names[index]) if index < len(names) else ""
            yield Window(center=center, width=width, function=known, explanation=explanation)


def _lookup_tables(dataset: Dataset, keyword: str) -> Iterator[LookupTable]:
    for item in dataset.get(keyword) or []:
        if "LUTDescriptor" in item and "LUTData" in item:
            yield _lookup_table(item, signed=bool(dataset.get("PixelRepresentation")))


def _lookup_table(item: Dataset, *, signed: bool) -> LookupTable:
    """Read a LUT item; the descriptor's first value 0 means 65536 (PS3.3 C.11.1.1.1)."""
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    entries = _lut_entries(item.LUTData, count=count & 0xFFFF or 65536, wide=bits > 8)
    first = first - 65536 if signed and first > 32767 else first
    explanation = str(item.get("LUTExplanation") or "")
    return LookupTable(first_mapped=first, entries=entries, bits=bits, explanation=explanation)


def _lut_entries(data: Any, *, count: int, wide: bool) -> NDArray[np.uint16]:
    if not isinstance(data, bytes):
        values = np.asarray(data, dtype=np.int64)[:count] & 0xFFFF
        return read_only(values.astype(np.uint16))
    packed = not wide and len(data) < 2 * count
    return read_only(np.frombuffer(data, dtype="u1" if packed else "<u2")[:count].astype(np.uint16))


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    second = limit if isinstance(limit, int) else first
    return min(first, second), max(first, second)


def _spacing(scopes: list[Dataset]) -> tuple[tuple[float, float] | None, SpacingSource | None]:
    """Choose the spacing as the radiograph contract says: detector plane first, plain Pixel Spacing last."""
    imager, plain = _pair(scopes, "ImagerPixelSpacing"), _pair(scopes, "PixelSpacing")
    if _text(scopes, "Modality") in _CROSS_SECTIONAL:
        return plain, SpacingSource.PIXEL_SPACING if plain else None
    if imager:
        return imager, SpacingSource.IMAGER_PIXEL_SPACING
    if plain and _text(scopes, "PixelSpacingCalibrationType"):
        return plain, SpacingSource.PIXEL_SPACING_CALIBRATED
    return plain, SpacingSource.PIXEL_SPACING if plain else None


def _pair(scopes: list[Dataset], keyword: str) -> tuple[float, float] | None:
    values = _numbers(scopes, keyword)
    if len(values) != 2 or not all(0 < value < 100 for value in values):
        return None
    return values[0], values[1]


def _patient_orientation(dataset: Dataset) -> tuple[str, str] | None:
    value = dataset.get("PatientOrientation")
    if not isinstance(value, MultiValue | list) or len(value) != 2 or not all(value):
        return None
    return str(value[0]).strip().upper(), str(value[1]).strip().upper()
