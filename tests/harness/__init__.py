# SPDX-License-Identifier: Apache-2.0
"""Real peers for tests: Orthanc as PACS, DCMTK as modality and archive, dicom3tools and dsrdump as judges."""
