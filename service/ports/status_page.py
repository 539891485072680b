# SPDX-License-Identifier: Apache-2.0
"""The seams of the status page: what it asks of the ledger and of the model packages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from service.domain.entry import CommitmentState, DeliveryState, JobState, NotificationState
from service.domain.fetch import FetchOutcome
from service.domain.result import Priority, Reason
from service.ports.statistics import QueueCounts


class Order(StrEnum):
    """In which order studies are listed."""

    TRIAGE = "triage"
    """Urgent first, then oldest first."""
    NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Behind which study a page of the list begins; `urgent` says whether that was in its urgent part."""

    urgent: bool
    study_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which studies are asked for: those that arrived `since`, `limit` of them, behind a position."""

    since: float = 0.0
    order: Order = Order.TRIAGE
    after: Position | None = None
    limit: int = 50
    with_identity: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose study it is, as the ledger has it of the first image; names are not in the ledger.

    `path` is the file of that image.
    """

    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisState:
    """Where one analysis of a study by one pipeline stands."""

    id: int
    study_id: int
    pipeline: str
    state: JobState
    outcome: str
    headline: str
    priority: Priority
    triage_score: float | None
    received_at: float
    created_at: float
    analysed_at: float | None
    encoded_at: float | None
    ended_at: float | None
    result_revision: int
    revision_id: int
    package_name: str
    package_version: str
    package_status: str
    refusals: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    crashes: int = 0
    starts: int = 0
    encode_failures: int = 0
    as_prior: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionState:
    """A frozen set of images of a study, why it was closed, and which rules chose which pipelines."""

    id: int
    study_id: int
    number: int
    reason: str
    instance_count: int
    closed_at: float
    routed_at: float | None
    rules: tuple[str, ...]
    pipelines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationShare:
    """How many objects of an analysis are in one state at one destination."""

    job_id: int
    destination: str
    state: DeliveryState
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A study of the list: its newest revision, the newest analysis of each pipeline, and where their objects are.

    `fetched` is 1 for an older study that the node asked an archive for, to compare with it.
    """

    study_id: int
    study_instance_uid: str
    first_seen_at: float
    last_seen_at: float
    unclosed: int
    urgent: bool
    revision: RevisionState | None = None
    analyses: tuple[AnalysisState, ...] = ()
    shares: tuple[DestinationShare, ...] = ()
    identity: Identity | None = None
    fetched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worklist:
    """A page of the list; `next` is where the following one begins, `cut` says that older studies are not listed."""

    items: tuple[WorkItem, ...]
    next: Position | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Images of a study that one peer sent."""

    peer: str
    calling_ae: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsMade:
    """Result objects of one kind that an analysis was written as."""

    job_id: int
    kind: str
    count: int
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStory:
    """One object and one destination; `last_status` is the last DIMSE status, None where there was no answer."""

    job_id: int
    destination: str
    kind: str
    state: DeliveryState
    attempts: int
    last_status: int | None
    last_error: str
    created_at: float
    stored_at: float | None
    ended_at: float | None
    next_attempt_at: float
    proof: str
    parked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentStory:
    """A storage commitment transaction of ours."""

    job_id: int
    destination: str
    number: int
    state: CommitmentState
    created_at: float
    asked_at: float | None
    due_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationStory:
    """A raised priority on its way to one notifier."""

    job_id: int
    notifier: str
    state: NotificationState
    attempts: int
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStory:
    """The search for an older study that an analysis waits for, until `due_at` at most."""

    job_id: int
    outcome: FetchOutcome
    created_at: float
    due_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStory:
    """A result object that must not leave, and why."""

    job_id: int
    kind: str
    destinations: tuple[str, ...]
    problems: tuple[str, ...]
    held_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Something of a study, or of a reason, that lies in the quarantine."""

    reason: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStory:
    """Everything that the ledger can tell of a study; `study.analyses` are all of them here, oldest first."""

    study: WorkItem
    arrivals: tuple[Arrivals, ...]
    revisions: tuple[RevisionState, ...]
    objects: tuple[ObjectsMade, ...] = ()
    held: tuple[HeldStory, ...] = ()
    deliveries: tuple[DeliveryStory, ...] = ()
    commitments: tuple[CommitmentStory, ...] = ()
    notifications: tuple[NotificationStory, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    fetches: tuple[FetchStory, ...] = ()


class StatusLedger(Protocol):
    """The ledger as the status page reads it: bounded queries on a connection that cannot write.

    Every method raises StorageError when the ledger cannot be read, or not in time.
    """

    def worklist(self, listing: Listing) -> Worklist:
        """Return a page of the list of studies."""

    def story(self, study_id: int, *, with_identity: bool) -> StudyStory | None:
        """Return what is known of a study; None when there is none of this number."""

    def quarantine(self) -> tuple[SetAside, ...]:
        """Return what lies in the quarantine, by reason."""

    def counts(self) -> QueueCounts:
        """Return what waits, as of a few seconds ago at most."""


class GoldenState(StrEnum):
    """Whether a package has reproduced its golden results on this machine."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It has not been tested since the node started: its child process is not warm yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """A model package at work; `role` is active or shadow, `problem` says why it analyses nothing ("" when it does)."""

    pipeline: str
    name: str
    version: str
    status: str
    sha256: str
    role: str
    provider: str = ""
    golden: GoldenState = GoldenState.UNKNOWN
    golden_at: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What keeps the node from taking studies in, and what does not run as config.yaml says, by the name of a check."""

    problems: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Somebody saw whose a study is: what the audit trail is told."""

    viewer: str
    address: str
    study_instance_uid: str
    patient_id: str
    accession_number: str


RecordViews = Callable[[Sequence[View]], None]
"""Writes views into the audit trail, all or none; raises StorageError when it cannot, and nothing is shown then."""
