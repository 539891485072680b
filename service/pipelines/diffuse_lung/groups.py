# SPDX-License-Identifier: Apache-2.0
"""Groups of patterns that are read as one thing: the findings of the ICOERD sheet, and what the rules speak of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from service.domain.errors import PackageError
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patterns import NORMAL, Pattern

GROUPS: Final = (
    "rounded",
    "irregular",
    "attenuation",
    "honeycombing",
    "emphysema",
    "large_opacities",
    "consolidation",
    "cysts",
    "fibrosis",
)
"""Every group there is; `fibrosis` is what honeycombing and irregular opacities have together."""
_DERIVED: Final = MappingProxyType({"fibrosis": ("honeycombing", "irregular")})
DEFAULT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "consolidation": ("consolidation",),
        "ground_glass": ("attenuation",),
        "ground_glass_micronodules": ("attenuation", "rounded"),
        "ground_glass_reticulation": ("attenuation", "irregular"),
        "reticulation": ("irregular",),
        "honeycombing": ("honeycombing",),
        "micronodules": ("rounded",),
        "emphysema": ("emphysema",),
        "single_cyst": ("cysts",),
        "multiple_cysts": ("cysts",),
        "crazy_paving": ("attenuation", "irregular"),
    }
)
"""Which groups a pattern counts for, by its name, where the manifest does not say (`parameters.groups`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The patterns (indices) of each group; a group without any is not read by this package."""

    members: Mapping[str, tuple[int, ...]]

    def is_read(self, group: str) -> bool:
        """Say whether any pattern of the package stands for the group."""
        return bool(self.members[group])

    def percent(
        self,
        extent: LungExtent,
        group: str,
        *,
        zone: int | None = None,
        side: int | None = None,
        shell: int | None = None,
    ) -> float | None:
        """Return the share of a group in percent of the lung there; None where it is not read or there is no lung."""
        if not self.is_read(group) or not extent.classified_pixels(zone=zone, side=side, shell=shell):
            return None
        return sum(extent.percent(index, zone=zone, side=side, shell=shell) for index in self.members[group])


def parse_groups(mapping: Any, patterns: Sequence[Pattern]) -> Grouping:
    """Take the manifest's `parameters.groups` (pattern name to list of groups), or the default where it is None.

    Raises
    ------
    PackageError
        A pattern or a group is unknown; the message lists the known ones.
    """
    names = [pattern.name for pattern in patterns]
    table = DEFAULT if mapping is None else _checked(mapping, names)
    members = {group: _members(group, table, names) for group in GROUPS}
    return Grouping(members=MappingProxyType(members))


def _members(group: str, table: Mapping[str, Sequence[str]], names: Sequence[str]) -> tuple[int, ...]:
    wanted = {group, *_DERIVED.get(group, ())}
    return tuple(index for index, name in enumerate(names) if wanted & set(table.get(name, ())))


def _checked(mapping: Any, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(mapping, Mapping):
        raise PackageError(f"parameters.groups: value {mapping!r} is no mapping of patterns to groups")
    abnormal = [name for name in names if name != NORMAL]
    unknown = sorted(str(name) for name in set(mapping) - set(abnormal))
    if unknown:
        raise PackageError(f"parameters.groups: unknown pattern {', '.join(unknown)}; known are {', '.join(abnormal)}")
    return {name: _groups_of(name, groups) for name, groups in mapping.items()}


def _groups_of(name: str, groups: Any) -> tuple[str, ...]:
    allowed = [group for group in GROUPS if group not in _DERIVED]
    if not isinstance(groups, list | tuple) or not set(groups) <= set(allowed):
        raise PackageError(
            f"parameters.groups.{name}: value {groups!r} is no list of groups; known are {', '.join(allowed)}"
        )
    return tuple(groups)
