# SPDX-License-Identifier: Apache-2.0
"""Fuses image features with clinical and pathology columns through one multiplicative weight per input.

For research: which columns matter, by how much, and how stable that is. It makes no clinical claim.
"""
