# SPDX-License-Identifier: Apache-2.0
"""Procedural mammograms: the same lesions in both views of a breast, as arrays and as valid MG files."""
