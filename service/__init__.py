# SPDX-License-Identifier: Apache-2.0
"""Dokuei: a headless DICOM node for computer-aided diagnosis."""

__version__ = "0.1.0"
