# SPDX-License-Identifier: Apache-2.0
"""Procedural, seeded phantoms: images with known truth and without any patient."""
