# SPDX-License-Identifier: Apache-2.0
"""Which of our own rules an object must keep, by its SOP class."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ChestCADSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from service.results.lint.cad import CAD_RULES
from service.results.lint.frames import FRAME_RULES
from service.results.lint.image import IMAGE_RULES
from service.results.lint.key_objects import KEY_OBJECT_RULES
from service.results.lint.parametric_map import PARAMETRIC_MAP_RULES
from service.results.lint.pdf import PDF_RULES
from service.results.lint.presentation import PRESENTATION_RULES
from service.results.lint.rejection import REJECTION_RULES, is_rejection_note
from service.results.lint.report import REPORT_RULES
from service.results.lint.segmentation import SEGMENTATION_RULES
from service.results.lint.text import TEXT_RULES
from service.results.overlay.segmentation import LABEL_MAP_SEGMENTATION_STORAGE

Rule = Callable[[Dataset], list[str]]

RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        str(Comprehensive3DSRStorage): REPORT_RULES,
        str(ComprehensiveSRStorage): REPORT_RULES,
        str(EnhancedSRStorage): REPORT_RULES,
        str(BasicTextSRStorage): TEXT_RULES,
        str(MammographyCADSRStorage): CAD_RULES,
        str(ChestCADSRStorage): CAD_RULES,
        str(SecondaryCaptureImageStorage): IMAGE_RULES,
        str(GrayscaleSoftcopyPresentationStateStorage): PRESENTATION_RULES,
        str(SegmentationStorage): FRAME_RULES + SEGMENTATION_RULES,
        str(LABEL_MAP_SEGMENTATION_STORAGE): FRAME_RULES + SEGMENTATION_RULES,
        str(ParametricMapStorage): FRAME_RULES + PARAMETRIC_MAP_RULES,
        str(KeyObjectSelectionDocumentStorage): KEY_OBJECT_RULES,
        str(EncapsulatedPDFStorage): PDF_RULES,
    }
)
"""The rules of each SOP class that is sent; every object keeps OBJECT_RULES beside them."""

UNKNOWN_TO_DCIODVFY = frozenset({str(LABEL_MAP_SEGMENTATION_STORAGE)})
"""SOP classes younger than dicom3tools, which calls their objects unknown; own rules and other readers judge them."""


def rules_of(dataset: Dataset) -> tuple[Rule, ...]:
    """Return the rules of the object's SOP class; for a class that we do not make, the one that holds it back."""
    if is_rejection_note(dataset):
        return REJECTION_RULES
    return RULES.get(str(dataset.get("SOPClassUID", "")), (is_of_a_class_that_we_make,))


def is_of_a_class_that_we_make(dataset: Dataset) -> list[str]:
    """An object of a SOP class without rules has not been checked, and must not leave."""
    return [f"'SOPClassUID' is {dataset.get('SOPClassUID')}, a class that the gate has no rules for"]
