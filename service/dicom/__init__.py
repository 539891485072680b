# SPDX-License-Identifier: Apache-2.0
"""DICOM files in, domain values out: headers, identity checks and pixels, all bounded and strict."""
