# SPDX-License-Identifier: Apache-2.0
"""How shares of lung are read: a package's own values from its manifest, or the documented defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from service.domain.errors import PackageError

_KEY: Final = "parameters.reading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The numbers of `parameters.reading`; every key may be left out.

    Parameters
    ----------
    subpleural_mm
        Lung at most this far from the pleura is subpleural.
    vein_share
        Where the lower zone begins, from the carina (0) to the base of the lungs (1); it stands for the inferior
        pulmonary veins, which are not looked for.
    smoothing_reach_mm
        Tiles are smoothed with those of slices at most this far away; 0 smooths nothing at all.
    low_attenuation_margin
        Percentage points that emphysema by pattern and by density (LAA-950) may differ by.
    icoerd_cut_points
        Percent of a zone from which on the ICOERD grade is 1, 2 and 3.
    """

    subpleural_mm: float = 10.0
    vein_share: float = 0.4
    smoothing_reach_mm: float = 7.5
    low_attenuation_margin: float = 10.0
    icoerd_cut_points: tuple[float, float, float] = (5.0, 25.0, 50.0)

    @classmethod
    def parse(cls, mapping: Any) -> "Reading":
        """Take the manifest's mapping.

        Raises
        ------
        PackageError
            A key is unknown, or a value no number in its range.
        """
        if not isinstance(mapping, Mapping):
            raise PackageError(f"{_KEY}: value {mapping!r} is no mapping; correct the manifest")
        known = {field.name for field in fields(cls)}
        unknown = sorted(str(key) for key in set(mapping) - known)
        if unknown:
            raise PackageError(f"{_KEY}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(
            **{key: (_cut_points(value) if key == _CUTS else _number(key, value)) for key, value in mapping.items()}
        )


_CUTS: Final = "icoerd_cut_points"
_HIGHEST: Mapping[str, float] = MappingProxyType(
    {"subpleural_mm": 50.0, "vein_share": 1.0, "smoothing_reach_mm": 50.0, "low_attenuation_margin": 100.0}
)


def _number(key: str, value: Any) -> Any:
    if not _is_number(value) or not 0 <= value <= _HIGHEST[key]:
        raise PackageError(f"{_KEY}.{key}: value {value!r} is not a number from 0 to {_HIGHEST[key]:g}")
    return float(value)


def _cut_points(value: Any) -> Any:
    is_three = isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))
    if not is_three or not value[0] > 0 or not value[2] <= 100 or not all(low < high for low, high in pairwise(value)):
        raise PackageError(f"{_KEY}.{_CUTS}: value {value!r} is not three rising numbers above 0 and up to 100")
    return float(value[0]), float(value[1]), float(value[2])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
