# SPDX-License-Identifier: Apache-2.0
"""Procedural head CT: skull, brain with grey and white matter, ventricles, and bleeding or an infarct on demand."""

from models.phantoms.head.findings import HEAD_FINDINGS, HeadFinding
from models.phantoms.head.phantom import HeadPhantom, HeadSlice

__all__ = ["HEAD_FINDINGS", "HeadFinding", "HeadPhantom", "HeadSlice"]
