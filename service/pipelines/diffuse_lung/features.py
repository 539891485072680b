# SPDX-License-Identifier: Apache-2.0
"""The measured features that rules may speak of: shares of lung, by their name."""

from collections.abc import Iterator
from typing import Final

from service.pipelines.diffuse_lung.groups import GROUPS, Grouping
from service.pipelines.diffuse_lung.lung_extent import LungExtent

_PLACES: Final[tuple[tuple[str, dict[str, int]], ...]] = (
    ("percent", {}),
    ("upper_percent", {"zone": 0}),
    ("middle_percent", {"zone": 1}),
    ("lower_percent", {"zone": 2}),
    ("right_percent", {"side": 0}),
    ("left_percent", {"side": 1}),
    ("subpleural_percent", {"shell": 0}),
    ("central_percent", {"shell": 1}),
)
"""Each is the share of the lung of that place, so that places of different size can be compared."""
_WHOLE: Final = ("abnormal_percent", "laa950_percent")
FEATURES: Final = (*(f"{group}.{name}" for group in GROUPS for name, _ in _PLACES), *_WHOLE)
"""Every feature there is, whatever the package; all are in percent."""


def measure_features(extent: LungExtent, grouping: Grouping) -> dict[str, float | None]:
    """Return every feature; None where it is not read: the package has no such pattern, or there is no lung."""
    whole = {"abnormal_percent": 100 * extent.abnormal_share, "laa950_percent": extent.low_attenuation_percent}
    return {**dict(_shares(extent, grouping)), **whole}


def _shares(extent: LungExtent, grouping: Grouping) -> Iterator[tuple[str, float | None]]:
    for group in GROUPS:
        for name, place in _PLACES:
            yield f"{group}.{name}", grouping.percent(extent, group, **place)
