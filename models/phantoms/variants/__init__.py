# SPDX-License-Identifier: Apache-2.0
"""Awkward studies as data: what is changed in a plain phantom study, and what the node must do with it."""

from models.phantoms.variants.table import VARIANTS, Expected, Variant, variant_named, write_variant

__all__ = ["VARIANTS", "Expected", "Variant", "variant_named", "write_variant"]
