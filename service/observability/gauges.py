# SPDX-License-Identifier: Apache-2.0
"""Gauges that are asked for when they are scraped: queues from the ledger, space from the disk."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.domain.drift import DriftKind
from service.domain.errors import StorageError
from service.domain.member import Role
from service.observability.slowly import Slowly
from service.ports.drift import DriftMode, DriftReader, DriftStatus
from service.ports.members import Members
from service.ports.statistics import QueueCounts, QueueStatistics

SPOOL_SECONDS = 60.0
NOTHING = QueueCounts(
    pending={},
    oldest_received_at={},
    deliveries_pending={},
    deliveries_refused={},
    last_delivered_at={},
    conflicts=0,
    failed_jobs=0,
)


class QueueGauges(Collector):
    """What waits, by stage and by destination.

    Timestamps of the oldest instead of ages: they stay true while a scrape is cached, and an alert computes the age.
    Where several members share the ledger, the one that leads shows it: a sum over all is then true.
    """

    def __init__(self, statistics: QueueStatistics, *, leads: Callable[[], bool]) -> None:
        self._statistics = statistics
        self._leads = leads

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without asking the ledger, which may not be open yet when this is registered."""
        yield _ledger_up(1)
        yield from _queues(NOTHING)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the ledger; when it cannot be read, that is all there is to say."""
        try:
            counts = self._statistics.counts()
        except StorageError:
            yield _ledger_up(0)
            return
        yield _ledger_up(1)
        if self._leads():
            yield from _queues(counts)


class SpoolGauge(Collector):
    """What waits, in bytes; found beside the scrape, because the ledger looks at every instance of it."""

    def __init__(self, statistics: QueueStatistics, *, leads: Callable[[], bool]) -> None:
        self._spool_bytes = Slowly(statistics.spool_bytes, seconds=SPOOL_SECONDS)
        self._leads = leads

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric without asking the ledger."""
        yield _spool(0)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Show the last number; nothing before the first."""
        found = self._spool_bytes() if self._leads() else None
        if found is not None:
            yield _spool(found)


class MemberGauges(Collector):
    """How many members share the ledger, by role; nothing where a node has it to itself."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric."""
        yield _members({})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count those that the one which leads sees; a role that nobody has is shown as none."""
        present = self._members.present()
        if present and self._members.leads():
            found = Counter({role.value: 0 for role in Role if role is not Role.ALL})
            found.update(member.role.value for member in present)
            yield _members(found)


class AssociationGauges(Collector):
    """Associations and DICOMweb requests that are open, by peer: configured ones are shown when they have none."""

    def __init__(self, peers: Iterable[str]) -> None:
        self._peers = tuple(peers)
        self.sources: list[Callable[[], Mapping[str, int]]] = []

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric."""
        yield _associations({})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the servers."""
        found = Counter(dict.fromkeys(self._peers, 0))
        for source in self.sources:
            found.update(source())
        yield _associations(found)


class StorageGauges(Collector):
    """Free space where studies lie, and the reserve below which nothing is taken in."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without asking the file system."""
        yield _free_bytes({})
        yield _reserve(self._reserve_bytes)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the file system; a folder that is gone has no free space to show."""
        yield _reserve(self._reserve_bytes)
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return
        yield _free_bytes({"data": free})


class DriftGauges(Collector):
    """Whether studies are still like the reference of each package, and how far the scores are from it."""

    def __init__(self, reader: DriftReader, *, leads: Callable[[], bool]) -> None:
        self._reader = reader
        self._leads = leads

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without asking the ledger."""
        yield from _drift(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the ledger; when it cannot be read, `dokuei_ledger_up` says so."""
        if not self._leads():
            return
        try:
            statuses = self._reader.statuses()
        except StorageError:
            return
        yield from _drift(statuses)


def _drift(statuses: Sequence[DriftStatus]) -> Iterator[GaugeMetricFamily]:
    """Yield 0 or 1 for each kind of what is watched; nothing for a package that has no reference yet."""
    alarm = GaugeMetricFamily(
        "dokuei_drift_alarm",
        "1 while studies differ from a package's reference in channels of a kind, else 0.",
        labels=["pipeline", "model", "kind"],
    )
    index = GaugeMetricFamily(
        "dokuei_score_psi",
        "Population stability index of the latest scores against the reference.",
        labels=["model", "version"],
    )
    for status in statuses:
        for kind in DriftKind if status.mode is not DriftMode.LEARNING else ():
            alarm.add_metric([status.pipeline, status.model, kind.value], float(kind in status.kinds))
        if status.score_psi is not None:
            index.add_metric([status.model, status.version], status.score_psi)
    yield alarm
    yield index


def _queues(counts: QueueCounts) -> Iterator[GaugeMetricFamily]:
    yield _labelled("pending", "What waits, by stage.", "stage", counts.pending)
    yield _labelled(
        "oldest_pending_received_timestamp_seconds",
        "When the oldest study that waits in a stage arrived.",
        "stage",
        counts.oldest_received_at,
    )
    yield _labelled(
        "delivery_pending", "Result objects that wait for a destination.", "destination", counts.deliveries_pending
    )
    yield _labelled(
        "delivery_refused",
        "Result objects that a destination refused for good.",
        "destination",
        counts.deliveries_refused,
    )
    yield _labelled(
        "delivery_abandoned",
        "Result objects for a destination that is no longer configured.",
        "destination",
        counts.deliveries_abandoned,
    )
    yield _labelled(
        "delivery_declined",
        "Result objects of a kind that a destination does not take, and that it has the result without.",
        "destination",
        counts.deliveries_declined,
    )
    yield _labelled(
        "commitment_pending",
        "Result objects that a destination has stored and has yet to commit itself to.",
        "destination",
        counts.commitments_pending,
    )
    yield _labelled(
        "circuit_state",
        "Whether a destination is tried: 0 closed (it is), 1 half-open (it is being probed), 2 open (it is not there), "
        "3 held by a person.",
        "destination",
        counts.circuits,
    )
    yield _labelled(
        "delivery_last_success_timestamp_seconds",
        "When a destination last stored a result object.",
        "destination",
        counts.last_delivered_at,
    )
    yield GaugeMetricFamily("dokuei_conflicts", "Instances kept aside: same UID, other bytes.", counts.conflicts)
    yield GaugeMetricFamily(
        "dokuei_quarantine_size",
        "Objects that were not let in, and studies that killed their worker.",
        counts.quarantined,
    )
    yield GaugeMetricFamily("dokuei_quarantine_bytes", "Bytes of files in the quarantine.", counts.quarantined_bytes)
    yield GaugeMetricFamily(
        "dokuei_held_objects", "Result objects that failed their checks, see `dokuei held`.", counts.held
    )
    yield GaugeMetricFamily("dokuei_failed_jobs", "Jobs that ended in failure.", counts.failed_jobs)
    yield GaugeMetricFamily("dokuei_audit_pending", "Audit messages that wait for the collector.", counts.audit_pending)


def _spool(value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily("dokuei_spool_bytes", "Bytes of received instances of studies that are unfinished.", value)


def _associations(values: Mapping[str, int]) -> GaugeMetricFamily:
    return _labelled("associations_active", "Associations and DICOMweb requests that are open.", "peer", values)


def _members(values: Mapping[str, int]) -> GaugeMetricFamily:
    return _labelled("members", "Processes that share the ledger (dokuei run --role) and are there.", "role", values)


def _ledger_up(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("dokuei_ledger_up", "1 while the ledger can be read, else 0.", value)


def _reserve(reserve_bytes: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "dokuei_storage_reserve_bytes", "Free space below which nothing is taken in.", reserve_bytes
    )


def _free_bytes(values: Mapping[str, float]) -> GaugeMetricFamily:
    return _labelled("storage_free_bytes", "Free space of the file system.", "volume", values)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"dokuei_{name}", text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
