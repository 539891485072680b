# SPDX-License-Identifier: Apache-2.0
"""An archive that does to its callers what archives do: falls over, forgets, denies, reports late, twice or never."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.errors import (
    CommitmentUnsupportedError,
    DestinationUnreachableError,
    EchoUnsupportedError,
    QueryUnsupportedError,
)
from service.ports import CommitmentFailure, CommitmentReport, EncodedObject, ObjectReference
from simulation.clock import VirtualClock

Later = Callable[[float, Callable[[], None]], None]
CONNECT_SECONDS = 0.05
TIMEOUT_SECONDS = 30.0


@dataclass
class VirtualArchive:
    """`ports.Destination` and `ports.CommitmentPeer`; `report_how` is one of the ways below, by transaction number."""

    clock: VirtualClock
    later: Later
    name: str = "pacs"
    up: bool = True
    echoes: bool = True
    commits: bool = True
    queries: bool = True
    status: Callable[[EncodedObject], int] = lambda _item: 0
    before_store: Callable[[EncodedObject], None] = lambda _item: None
    after_send: Callable[[], None] = lambda: None
    report_how: Callable[[int], str] = lambda _number: "other"
    report_seconds: Callable[[], float] = lambda: 2.0
    listener: Callable[[str, CommitmentReport], bool] = lambda _peer, _report: False
    objects: dict[str, bytes] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    stores: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[float, str]] = field(default_factory=list)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    life: int = 0

    def restart(self, *, down_seconds: float) -> None:
        """Go down and come back, with the objects and without the reports that were to be sent."""
        self.up = False
        self.life += 1
        self.later(down_seconds, self.rise)

    def rise(self) -> None:
        self.up = True

    # --- Destination ---

    def send(self, objects: Sequence[EncodedObject]) -> Mapping[str, int | None]:
        self._connect("store")
        statuses: dict[str, int | None] = {item.sop_instance_uid: None for item in objects}
        for item in objects:
            self.before_store(item)
            if not self.up:
                break
            statuses[item.sop_instance_uid] = self._store(item)
        self.after_send()
        return statuses

    def interrupt(self) -> None:
        self.up = False

    def echo(self) -> None:
        self._connect("echo")
        if not self.echoes:
            raise EchoUnsupportedError("no C-ECHO here")

    def _store(self, item: EncodedObject) -> int:
        self.clock.advance(CONNECT_SECONDS)
        status = self.status(item)
        if status:
            return status
        content = Path(item.path).read_bytes()
        assert self.objects.setdefault(item.sop_instance_uid, content) == content, "other bytes under the same UID"
        self.stores[item.sop_instance_uid] += 1
        self.order.append(item.sop_instance_uid)
        return 0

    # --- CommitmentPeer ---

    def request_commitment(
        self, transaction_uid: str, references: Sequence[ObjectReference]
    ) -> CommitmentReport | None:
        self._connect("commit")
        if not self.commits:
            raise CommitmentUnsupportedError("no storage commitment here")
        self.asked.append((transaction_uid, tuple(item.sop_instance_uid for item in references)))
        how = self.report_how(len(self.asked))
        if "forget" in how:
            self.objects.pop(references[0].sop_instance_uid, None)
        report = self._report(transaction_uid, references, failing=how == "busy")
        if how == "same":
            return report
        if how == "early":
            self.listener(self.name, report)
        for seconds in _delays(how, self.report_seconds()):
            self._report_later(report, seconds)
        return None

    def find_stored(self, study_instance_uid: str, references: Sequence[ObjectReference]) -> frozenset[str]:
        assert study_instance_uid
        self._connect("find")
        if not self.queries:
            raise QueryUnsupportedError("no queries here")
        return frozenset(item.sop_instance_uid for item in references) & self.objects.keys()

    def report_commitment(self, report: CommitmentReport) -> None:
        raise NotImplementedError

    def _report(
        self, transaction_uid: str, references: Sequence[ObjectReference], *, failing: bool
    ) -> CommitmentReport:
        there = [] if failing else [item for item in references if item.sop_instance_uid in self.objects]
        reason = 0x0213 if failing else 0x0112
        return CommitmentReport(
            transaction_uid=transaction_uid,
            committed=tuple(there),
            failed=tuple(CommitmentFailure(reference=item, reason=reason) for item in references if item not in there),
        )

    def _report_later(self, report: CommitmentReport, seconds: float) -> None:
        life = self.life

        def call() -> None:
            if self.life == life:  # a restarted archive has forgotten
                assert self.listener(self.name, report)

        self.later(seconds, call)

    def _connect(self, what: str) -> None:
        self.calls.append((self.clock.monotonic(), what))
        self.clock.advance(CONNECT_SECONDS if self.up else TIMEOUT_SECONDS)
        if not self.up:
            raise DestinationUnreachableError("down")


def _delays(how: str, seconds: float) -> list[float]:
    """Return after how many seconds each report of a transaction comes."""
    return {
        "other": [seconds],
        "twice": [seconds, 3 * seconds],
        "late": [1500.0],
        "late forget": [],
        "forget": [seconds],
        "busy": [seconds],
    }.get(how, [])
