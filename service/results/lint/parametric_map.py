# SPDX-License-Identifier: Apache-2.0
"""Rules for parametric maps: real numbers of a named quantity, and what dcmqi needs so that Slicer does not crash."""

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage

from service.results.overlay.parametric_map import IMAGE_TYPE


def is_parametric_map(dataset: Dataset) -> list[str]:
    """SOP class and Image Type say: derived numbers of a volume (PS3.3 C.8.32.2); dcmqi crashes on integers."""
    problems = []
    if dataset.get("SOPClassUID") != ParametricMapStorage:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not Parametric Map Storage")
    if tuple(dataset.get("ImageType") or ()) != IMAGE_TYPE:
        problems.append(f"'ImageType' is {dataset.get('ImageType')}; it must be {IMAGE_TYPE}")
    if "FloatPixelData" not in dataset or "PixelData" in dataset or dataset.get("BitsAllocated") != 32:
        problems.append("the values are not 32-bit floating point numbers in 'FloatPixelData'")
    return problems


def quantity_is_named(dataset: Dataset) -> list[str]:
    """The mapping says which quantity the values are, in which unit, one to one."""
    mappings = dataset.SharedFunctionalGroupsSequence[0].get("RealWorldValueMappingSequence") or []
    if len(mappings) != 1:
        return ["there is not one 'RealWorldValueMappingSequence' item for all frames"]
    (mapping,) = mappings
    problems = []
    if not mapping.get("QuantityDefinitionSequence"):
        problems.append("the quantity is not defined")
    if len(mapping.get("MeasurementUnitsCodeSequence") or []) != 1:
        problems.append("the unit is not given")
    if (mapping.get("RealWorldValueSlope"), mapping.get("RealWorldValueIntercept")) != (1, 0):
        problems.append("the values are not mapped one to one")
    return problems


def says_which_anatomy(dataset: Dataset) -> list[str]:
    """Frame Anatomy is there; without it dcmqi crashes."""
    anatomy = dataset.SharedFunctionalGroupsSequence[0].get("FrameAnatomySequence") or []
    is_told = len(anatomy) == 1 and anatomy[0].get("FrameLaterality") and anatomy[0].get("AnatomicRegionSequence")
    return [] if is_told else ["'FrameAnatomySequence' does not name region and side"]


def values_are_in_range(dataset: Dataset) -> list[str]:
    """Each value is within the mapped range, or the padding value; none is no number."""
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    low, high = mapping.DoubleFloatRealWorldValueFirstValueMapped, mapping.DoubleFloatRealWorldValueLastValueMapped
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    if not np.isfinite(values).all():
        return ["a value is no finite number"]
    is_within = ((values >= low) & (values <= high)) | (values == dataset.FloatPixelPaddingValue)
    return [] if is_within.all() else [f"a value lies outside {low} to {high}"]


PARAMETRIC_MAP_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_parametric_map,
    quantity_is_named,
    says_which_anatomy,
    values_are_in_range,
)
