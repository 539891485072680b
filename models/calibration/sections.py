# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured as the sections of a manifest."""

from dataclasses import asdict, fields
from typing import Any

from service.domain.reliability import Reliability


def manifest_sections(reliability: Reliability) -> dict[str, Any]:
    """Return the keys calibration, conformal, out_of_distribution and disagreement that have entries; JSON types."""
    named = {field.name: getattr(reliability, field.name) for field in fields(reliability)}
    return {name: [_plain(asdict(entry)) for entry in entries] for name, entries in named.items() if entries}


def _plain(value: Any) -> Any:
    """Return JSON types: no tuples, no enumerations, nothing that is not known."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, str) else value
