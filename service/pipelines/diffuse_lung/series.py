# SPDX-License-Identifier: Apache-2.0
"""The CT series of a study: which instances are axial images, how they lie, and whether slices are missing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.instance import Instance
from service.imaging.volume import Stack, measure_stack, slice_planes

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT: Final = "1.2.840.10008.5.1.4.1.1.2.1"
_SHARED: Final = "SharedFunctionalGroupsSequence"
_MEASURES: Final = f"{_SHARED}.PixelMeasuresSequence"
REFORMATTED: Final = (
    "LOCALIZER",
    "MIP",
    "MINIP",
    "MPR",
    "REFORMATTED",
    "AVERAGE",
    "SECONDARY",
    "DERIVED",
    "PROJECTION",
)
"""Words of Image Type (0008,0008) that say: this is no plain axial slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The axial images of one series; `stack` is None where positions are missing (and for enhanced images)."""

    instances: tuple[Instance, ...]
    stack: Stack | None

    @property
    def first(self) -> Instance:
        """The instance whose header stands for all."""
        return self.instances[0]

    @property
    def enhanced(self) -> bool:
        """Whether the series is one multi-frame image."""
        return self.first.sop_class_uid == ENHANCED_CT

    @property
    def slices(self) -> int:
        """Number of slices, frames included."""
        if not self.enhanced:
            return len(self.instances)
        return int(self.first.number("NumberOfFrames") or 1)

    @property
    def name(self) -> str:
        """How messages call the series: by its number."""
        number = self.first.number("SeriesNumber")
        return "series without number" if number is None else f"series {number:.0f}"

    def pair(self, keyword: str) -> tuple[float, ...]:
        """Return numbers of an attribute of the first instance, from its shared functional groups when enhanced."""
        values = self.first.values(keyword) or self.first.values(f"{_MEASURES}.{keyword}")
        return tuple(float(value) for value in values if not isinstance(value, str))


def is_ct(instance: Instance) -> bool:
    """Whether the instance is a CT or enhanced CT image by its SOP class."""
    return instance.sop_class_uid in {CT, ENHANCED_CT}


def image_type(instance: Instance) -> tuple[str, ...]:
    """Return the words of Image Type (0008,0008), in capitals."""
    return tuple(str(value).strip().upper() for value in instance.values("ImageType"))


def is_original_axial(instance: Instance) -> bool:
    """Whether Image Type says ORIGINAL, PRIMARY, AXIAL (enhanced: VOLUME) and nothing against it."""
    words = image_type(instance)
    wanted = words[:2] == ("ORIGINAL", "PRIMARY") and len(words) > 2 and words[2] in _kinds(instance)
    return wanted and not any(word in REFORMATTED for word in words)


def _kinds(instance: Instance) -> tuple[str, ...]:
    return ("VOLUME", "AXIAL") if instance.sop_class_uid == ENHANCED_CT else ("AXIAL",)


def group_series(instances: Sequence[Instance]) -> tuple[Series, ...]:
    """Gather instances into series; each enhanced image is a series of its own. Sorted by UID."""
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    for instance in instances:
        own = instance.sop_instance_uid if instance.sop_class_uid == ENHANCED_CT else ""
        groups[instance.series_instance_uid, own].append(instance)
    return tuple(_series(groups[key]) for key in sorted(groups))


def _series(instances: list[Instance]) -> Series:
    """Put the slices in order, from the head to the feet where positions are known."""
    named = sorted(instances, key=lambda instance: instance.sop_instance_uid)
    planes = slice_planes(named) if named[0].sop_class_uid == CT else None
    if not planes:
        return Series(instances=tuple(named), stack=None)
    stack = measure_stack(planes)
    return Series(instances=tuple(named[index] for index in reversed(stack.order)), stack=stack)


def in_slice_mode(series: Series) -> bool:
    """Say whether the slices lie too far apart to stand for a volume: more than two slice thicknesses."""
    thickness, stack = series.pair("SliceThickness"), series.stack
    return bool(thickness and stack and stack.spacing_mm is not None and stack.spacing_mm > 2 * thickness[0])


def is_gap_free(series: Series, *, minimum_slices: int, uniformity: float = 0.01) -> bool:
    """Whether the slices lie evenly, none missing and none twice, and are enough to be a chest."""
    if series.enhanced:
        return series.slices >= minimum_slices
    stack = series.stack
    if stack is None or len(series.instances) < minimum_slices:
        return False
    # A gap is a distance far from the median: unevenness covers it.
    return stack.duplicates == 0 and stack.uniformity <= evenness(stack, uniformity)


def evenness(stack: Stack, uniformity: float) -> float:
    """Return the allowed deviation as a share of the spacing: never finer than positions rounded to 0.1 mm allow."""
    return max(uniformity, 0.101 / stack.spacing_mm) if stack.spacing_mm else uniformity
