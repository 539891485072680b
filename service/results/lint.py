# SPDX-License-Identifier: Apache-2.0
"""Which of our own rules an object must keep, by its SOP class."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from service.results.lint_frames import FRAME_RULES
from service.results.lint_image import IMAGE_RULES
from service.results.lint_key_objects import KEY_OBJECT_RULES
from service.results.lint_parametric_map import PARAMETRIC_MAP_RULES
from service.results.lint_presentation import PRESENTATION_RULES
from service.results.lint_report import REPORT_RULES
from service.results.lint_segmentation import SEGMENTATION_RULES
from service.results.segmentation import LABEL_MAP_SEGMENTATION_STORAGE

Rule = Callable[[Dataset], list[str]]

RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        str(ComprehensiveSRStorage): REPORT_RULES,
        str(SecondaryCaptureImageStorage): IMAGE_RULES,
        str(GrayscaleSoftcopyPresentationStateStorage): PRESENTATION_RULES,
        str(SegmentationStorage): FRAME_RULES + SEGMENTATION_RULES,
        str(LABEL_MAP_SEGMENTATION_STORAGE): FRAME_RULES + SEGMENTATION_RULES,
        str(ParametricMapStorage): FRAME_RULES + PARAMETRIC_MAP_RULES,
        str(KeyObjectSelectionDocumentStorage): KEY_OBJECT_RULES,
    }
)
"""The rules of each SOP class that is sent; every object keeps OBJECT_RULES beside them."""

UNKNOWN_TO_DCIODVFY = frozenset({str(LABEL_MAP_SEGMENTATION_STORAGE)})
"""SOP classes younger than dicom3tools, which calls their objects unknown; own rules and other readers judge them."""


def rules_of(dataset: Dataset) -> tuple[Rule, ...]:
    """Return the rules of the object's SOP class; an object of another class is judged as what it looks like."""
    looks_like = REPORT_RULES if "ContentSequence" in dataset else IMAGE_RULES
    return RULES.get(str(dataset.get("SOPClassUID", "")), looks_like)
