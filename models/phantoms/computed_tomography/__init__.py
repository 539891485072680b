# SPDX-License-Identifier: Apache-2.0
"""Procedural thin-section chest CT: patterns with a known class, a chest with known places, and its DICOM files."""

from models.phantoms.computed_tomography.chest import NOT_LUNG, ChestPhantom, Involvement, Slice, texture_patch
from models.phantoms.computed_tomography.lung_texture import PATTERNS
from models.phantoms.computed_tomography.scanner import Scanner, shifted_scanner, usual_scanner

__all__ = [
    "NOT_LUNG",
    "PATTERNS",
    "ChestPhantom",
    "Involvement",
    "Scanner",
    "Slice",
    "shifted_scanner",
    "texture_patch",
    "usual_scanner",
]
