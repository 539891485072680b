# SPDX-License-Identifier: Apache-2.0
"""Whether the studies of a site are still like those that a package was measured on: what is watched, and the states.

Nothing here names a patient: a study is a few numbers and words of its images, and a key that only the site can read.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Final

from service.domain.reliability import STRICT
from service.domain.result import PackageIdentity, Reason

LEAST_REFERENCE: Final = 100
"""Studies without which a reference says too little of its own channels."""
PERFORMANCE_NOT_ASSURED: Final = "performance_not_assured"
"""Code of the flag that results carry while an alarm stands."""
EVERYBODY: Final = ""
"""Name of the group of all manufacturers."""


class DriftKind(StrEnum):
    """What of a study a channel watches."""

    METADATA = "metadata"
    PIXELS = "pixels"
    OUTPUTS = "outputs"
    EMBEDDINGS = "embeddings"
    REFUSALS = "refusals"


KINDS: Final[Mapping[str, DriftKind]] = MappingProxyType(
    {
        "manufacturer": DriftKind.METADATA,
        "kernel": DriftKind.METADATA,
        "spacing_mm": DriftKind.METADATA,
        "kvp": DriftKind.METADATA,
        "bits_stored": DriftKind.METADATA,
        "level": DriftKind.PIXELS,
        "contrast": DriftKind.PIXELS,
        "noise": DriftKind.PIXELS,
        "fineness": DriftKind.PIXELS,
        "score": DriftKind.OUTPUTS,
        "lung_certainty": DriftKind.OUTPUTS,
        "out_of_distribution_share": DriftKind.EMBEDDINGS,
        "indeterminate_share": DriftKind.EMBEDDINGS,
        "outcome": DriftKind.REFUSALS,
    }
)
"""Every channel but the distances, which are named after a package's graphs ("zones_distance_deep")."""
WORDS: Final = ("manufacturer", "kernel", "outcome")
"""The channels whose values are words; all others are numbers."""
DISTANCE: Final = "_distance_"


def kind_of(channel: str) -> DriftKind:
    """Return what a channel watches.

    Raises
    ------
    ValueError
        There is no such channel.
    """
    if channel in KINDS:
        return KINDS[channel]
    if DISTANCE in channel:
        return DriftKind.EMBEDDINGS
    known = ", ".join(sorted(KINDS))
    raise ValueError(f"channel {channel} is unknown; known are {known}, and <graph>{DISTANCE}<depth>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """The numbers and words of one study, by channel; a channel that could not be measured is absent."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def manufacturer(self) -> str:
        """The group that the study belongs to."""
        return self.words.get("manufacturer", EVERYBODY)

    def get(self, channel: str) -> float | str | None:
        """Return the value of a channel; None where there is none."""
        return self.words.get(channel) if channel in WORDS else self.numbers.get(channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceChannel:
    """How often a channel had which values.

    Parameters
    ----------
    edges
        Rising limits between bins, of numbers: bin i holds what is above edge i-1 and not above edge i.
    categories
        The words, of a channel of words, the commonest first.
    counts
        Studies in each bin: one more than edges; or one for each word, and at the end those with any other word.
    """

    __pydantic_config__: ClassVar = STRICT
    channel: str
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind_of(self.channel)
        if bool(self.edges) == bool(self.categories) or bool(self.categories) != (self.channel in WORDS):
            wanted = "categories" if self.channel in WORDS else "edges"
            raise ValueError(f"channel {self.channel} has {wanted}, and nothing else beside counts")
        if len(self.counts) != len(self.edges or self.categories) + 1:
            raise ValueError(
                f"channel {self.channel} has {len(self.counts)} counts; one more than edges or categories is needed"
            )
        if any(count < 0 for count in self.counts) or sum(self.counts) < LEAST_REFERENCE:
            raise ValueError(
                f"channel {self.channel} counts {sum(self.counts)} studies; {LEAST_REFERENCE} are needed, none below 0"
            )
        if not all(map(math.isfinite, self.edges)) or any(one >= other for one, other in pairwise(self.edges)):
            raise ValueError(f"edges of channel {self.channel} must rise and be finite")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"channel {self.channel} has a category twice")

    @property
    def studies(self) -> int:
        """How many studies the channel was measured in."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReference:
    """The channels of one manufacturer's studies, or of all (EVERYBODY)."""

    __pydantic_config__: ClassVar = STRICT
    channels: tuple[ReferenceChannel, ...]
    manufacturer: str = EVERYBODY

    def __post_init__(self) -> None:
        names = [channel.channel for channel in self.channels]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"group '{self.manufacturer}' needs channels, each of them once")

    def channel(self, name: str) -> ReferenceChannel | None:
        """Return a channel, if it was measured."""
        return next((entry for entry in self.channels if entry.channel == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReference:
    """What usual studies look like: over all, and for each manufacturer of whom there were enough.

    `source` says whose they are, for people; `confirmed_by` is the person who declared a site's own studies usual.
    """

    __pydantic_config__: ClassVar = STRICT
    source: str
    groups: tuple[GroupReference, ...]
    confirmed_by: str = ""
    confirmed_at: float = 0.0

    def __post_init__(self) -> None:
        names = [group.manufacturer for group in self.groups]
        if names.count(EVERYBODY) != 1 or len(set(names)) < len(names):
            raise ValueError("drift_reference needs one group without manufacturer, and each manufacturer once")

    @property
    def overall(self) -> GroupReference:
        """The group of all manufacturers."""
        return next(group for group in self.groups if group.manufacturer == EVERYBODY)

    def channel_for(self, name: str, manufacturer: str) -> ReferenceChannel | None:
        """Return a channel of the manufacturer's own group where it has one, else that of all."""
        own = next((group for group in self.groups if group.manufacturer == manufacturer), self.overall)
        return own.channel(name) or self.overall.channel(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Where the watch over one package stands.

    `evidence` holds, by channel, the logarithm of each bet's evidence (service/drift/detector); `recent` the bins of
    the last studies, oldest first.
    """

    studies: int = 0
    since: float = 0.0
    evidence: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    recent: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlarm:
    """An alarm that stands until a person takes it back; times are seconds since the epoch."""

    since: float
    studies: int
    channels: tuple[str, ...]
    acknowledged_by: str = ""
    acknowledged_at: float = 0.0
    note: str = ""
    ended_at: float = 0.0

    @property
    def kinds(self) -> tuple[DriftKind, ...]:
        """What has shifted."""
        return tuple(dict.fromkeys(map(kind_of, self.channels)))

    def caveat(self) -> Reason:
        """Return the flag of results that are made while the alarm stands."""
        since = datetime.fromtimestamp(self.since, tz=UTC).strftime("%Y-%m-%d")
        named = "; ".join(f"{kind}: {', '.join(self._of(kind))}" for kind in self.kinds)
        message = (
            f"performance not assured: since {since} the studies that come here differ from those that the model "
            f"package is watched by ({named}); read without relying on it until the site has found the cause"
        )
        return Reason(code=PERFORMANCE_NOT_ASSURED, message=message)

    def _of(self, kind: DriftKind) -> Iterator[str]:
        return (channel for channel in self.channels if kind_of(channel) is kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """The watch over one package of one pipeline, as the ledger keeps it.

    `baseline` is the site's own reference, which goes before the package's. While `relearns` is set neither is used,
    until a person confirms a new baseline. `history` are alarms of before, the latest last. `psi` and `reference`
    (whose studies these were, "" while there is none) are of the last step, for whoever shows them.
    """

    pipeline: str
    package: PackageIdentity
    monitor: Monitor = Monitor()
    alarm: DriftAlarm | None = None
    baseline: DriftReference | None = None
    relearns: bool = False
    history: tuple[DriftAlarm, ...] = ()
    updated_at: float = 0.0
    psi: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""

    @property
    def learning(self) -> bool:
        """Whether there is nothing to compare with."""
        return not self.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredStudy:
    """One study in the ledger's list: its key under the site's own secret, and what was measured."""

    pipeline: str
    package: PackageIdentity
    study_key: str
    monitored: Monitored
    at: float
