# SPDX-License-Identifier: Apache-2.0
"""The header rules of a diffuse lung package, read from its manifest into one strict value."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from service.domain.errors import PackageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a series must be; the defaults are those of thin-section CT and stand where the manifest is silent."""

    best_thickness_mm: float = 2.0
    largest_thickness_mm: float = 3.0
    smallest_pixel_mm: float = 0.45
    largest_pixel_mm: float = 0.95
    largest_tilt_degrees: float = 5.0
    largest_gantry_tilt_degrees: float = 1.0
    minimum_slices: int = 8
    uniformity: float = 0.01
    kernels: tuple[str, ...] = ()
    smallest_lung_litres: float = 1.0
    largest_lung_litres: float = 10.0
    smallest_slice_cm2: float = 60.0
    open_end_share: float = 0.5
    largest_out_of_distribution_share: float = 0.5
    largest_indeterminate_share: float = 0.5

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> "Acceptance":
        """Take the manifest's `acceptance`; an unknown key or a value of another kind is refused.

        Raises
        ------
        PackageError
            Naming the key, its value and what is known.
        """
        defaults = {field.name: field.default for field in fields(cls)}
        unknown = sorted(set(mapping) - set(defaults))
        if unknown:
            raise PackageError(f"acceptance: unknown key {', '.join(unknown)}; known are {', '.join(sorted(defaults))}")
        return cls(**{key: _like(defaults[key], value, key) for key, value in mapping.items()})


def _like(default: object, value: Any, key: str) -> Any:
    """Return the value as the default's type."""
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(str(item).upper() for item in value)
    if isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
        return type(default)(value)
    raise PackageError(f"acceptance: key {key} value {value!r} is not a {type(default).__name__}; correct the manifest")
