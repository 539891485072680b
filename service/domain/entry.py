# SPDX-License-Identifier: Apache-2.0
"""What the ledger remembers of a study on its way: one immutable record per row that the workflow reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.domain.fetch import AskedState, FetchOutcome, FetchState
from service.domain.result import PackageIdentity, Priority, Reason


class JobState(StrEnum):
    """Where an analysis stands; `SUPERSEDED` and `FINISHED` and `FAILED` are final."""

    QUEUED = "queued"
    ANALYSED = "analysed"
    ENCODED = "encoded"
    FINISHED = "finished"
    """Every destination has, or has committed itself to, every object, or refused it for good."""
    SUPERSEDED = "superseded"
    """A later revision took over before this one had produced anything."""
    FAILED = "failed"
    """Not even the not-analysed result could be written: held for a person."""


class DeliveryState(StrEnum):
    """Where one object stands with one destination."""

    WAITING = "waiting"
    """A rejection note, until the result is stored that replaces what it rejects."""

    PENDING = "pending"
    STORED = "stored"
    """The destination answered success and has yet to commit itself to keep the object."""
    DELIVERED = "delivered"
    """The destination answered success, and no commitment is asked of it: final."""
    COMMITTED = "committed"
    """The destination committed itself, or (`proof`) answered a query that it has the object: final."""
    REFUSED = "refused"
    """Refused for good by the destination: held and visible, and `retry` tries it again."""
    DECLINED = "declined"
    """The destination does not take this SOP class, and has the result in another object: final, and `retry` asks."""
    UNNEEDED = "unneeded"
    """The destination has another object of the same slot, or a rejection note had nothing to reject: final."""
    HELD = "held"
    """A rejection note failed the checks before sending: final, see `dokuei held`."""
    RETIRED = "retired"
    """The destination had the object, and was told that a later result replaces it: final."""
    ABANDONED = "abandoned"
    """The destination left config.yaml: held and visible, and sent when it is back."""


AT_THE_DESTINATION = frozenset({DeliveryState.STORED, DeliveryState.DELIVERED, DeliveryState.COMMITTED})
"""States in which the destination has the object, and counts it as current."""


class CommitmentState(StrEnum):
    """Where one storage commitment transaction stands; a report is taken in whatever the state."""

    OPEN = "open"
    """Yet to be asked, or asked and waiting for the report."""
    ANSWERED = "answered"
    EXPIRED = "expired"
    """No report came in time, and something else followed."""


class Proof(StrEnum):
    """What shows that a destination has an object for good."""

    REPORT = "report"
    """It committed itself in an N-EVENT-REPORT."""
    QUERY = "query"
    """It never reported, and answered a C-FIND that it has the object."""


class CircuitState(StrEnum):
    """Whether a destination is tried: closed means that it is, as with the electrical kind."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"
    HELD = "held"
    """A person holds it: nothing is sent, nor tried, until a person releases it."""


class NotificationState(StrEnum):
    """Where one notification stands with one notifier."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study; all times are seconds since the epoch.

    `revision` is the last frozen revision of its instance set (0: none yet), `unclosed` the number of instances that
    came after it. `closer_task_id` names the task that will look at the study next; "" when nothing is due. `purged` is
    1 when all its files are deleted. `fetched` is 1 while all of it came because this node asked an archive for it.
    """

    id: int
    study_instance_uid: str
    first_seen_at: float
    last_seen_at: float
    evaluated_at: float
    evaluate_at: float | None
    revision: int
    unclosed: int
    closer_task_id: str
    generation: int
    purged: int = 0
    fetched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord:
    """A frozen instance set of a study; `routed_at` is None until the rules were applied."""

    id: int
    study_id: int
    study_instance_uid: str
    number: int
    reason: str
    instance_count: int
    closed_at: float
    routed_at: float | None
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as routing creates it.

    `key` is the identity of the work: study, pipeline, package and the selected instances, or for a refusal the
    instances and reasons. The same work is never done twice.
    """

    key: str
    revision_id: int
    study_id: int
    pipeline: str
    package: PackageIdentity | None
    priority: Priority
    input_sop_instance_uids: tuple[str, ...]
    flags: tuple[Reason, ...] = ()
    refusals: tuple[Reason, ...] = ()
    as_prior: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """An analysis of one revision of a study by one pipeline.

    `crashes` counts deaths of the child process, `starts` how often the analysis was begun, `encode_failures`
    how often encoding failed. `result_revision` is 1 for the first result of this pipeline on this study. `as_prior` is
    1 for an analysis that later studies are compared with, and that nobody is told of.
    """

    id: int
    key: str
    study_id: int
    study_instance_uid: str
    revision_id: int
    result_revision: int
    pipeline: str
    package: PackageIdentity | None
    priority: Priority
    state: JobState
    input_sop_instance_uids: tuple[str, ...]
    flags: tuple[Reason, ...]
    refusals: tuple[Reason, ...]
    crashes: int
    starts: int
    encode_failures: int
    outcome: str
    headline: str
    received_at: float
    created_at: float
    attempt: int
    task_id: str
    as_prior: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorJob:
    """The analysis of an older study of the same patient by the same pipeline; `study_date` is YYYYMMDD.

    `kept` is what the ledger keeps of its result when its files are deleted; None while they are there.
    """

    key: str
    study_instance_uid: str
    study_date: str
    package: PackageIdentity
    kept: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One result object on its way to one destination; `permanent_refusals` counts answers that a retry cannot mend."""

    id: int
    job_id: int
    destination: str
    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    state: DeliveryState
    attempts: int
    permanent_refusals: int
    created_at: float
    next_attempt_at: float
    parked: bool
    attempt: int
    task_id: str
    slot: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierDelivery:
    """An object of an earlier result of the same study and pipeline, and where it stands with one destination."""

    job_id: int
    destination: str
    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    slot: str
    rank: int
    state: DeliveryState
    series_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldObject:
    """A result object that must not leave; it carries identity in its UIDs and its path, not in `problems`."""

    id: int
    job_id: int
    study_instance_uid: str
    pipeline: str
    outcome: str
    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    destinations: tuple[str, ...]
    problems: tuple[str, ...]
    held_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRecord:
    """One storage commitment transaction of ours: some objects of a job, at one destination.

    `number` counts the transactions of the job with this destination from 1, `unanswered` how many before this one
    went without a report. `asked_at` is None until the destination took the request.
    """

    id: int
    job_id: int
    destination: str
    transaction_uid: str
    delivery_ids: tuple[int, ...]
    state: CommitmentState
    number: int
    unanswered: int
    asked_at: float | None
    due_at: float
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRecord:
    """What is known of a destination's being reachable; one row per destination.

    `failures` counts attempts in a row that found nobody, `probes` those since the circuit opened. `failed_job_id` is
    the job of the last failure: one job that breaks every association is not taken for a dead destination.
    """

    id: int
    destination: str
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    probes: int = 0
    failed_job_id: int = 0
    due_at: float = 0.0
    attempt: int = 0
    task_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A row that waited for its destination and may go on: a job's deliveries, or a commitment transaction."""

    row_id: int
    priority: Priority
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """A peer's request that we commit ourselves; `references` are (SOP class UID, SOP instance UID)."""

    id: int
    peer: str
    calling_ae: str
    transaction_uid: str
    references: tuple[tuple[str, str], ...]
    reported: bool
    attempts: int
    due_at: float
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldInstance:
    """What a commitment of ours rests on: the ledger's word on a stored instance; `sha256` is its data set's."""

    sop_class_uid: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRecord:
    """A raised priority on its way to one notifier."""

    id: int
    job_id: int
    notifier: str
    state: NotificationState
    attempts: int
    created_at: float
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRecord:
    """The search for older studies that a job waits for, until `due_at` at most.

    `outcome` is what the job was told; it waits while that is WAITING. `state` is what the task has yet to do, whether
    or not the job still waits.
    """

    id: int
    job_id: int
    state: FetchState
    outcome: FetchOutcome
    created_at: float
    due_at: float
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedStudy:
    """An older study that an archive was asked to send, for the job of a search; `pipeline` and patient are the job's.

    `is_open` says that the search has yet to see to the end of its coming.
    """

    id: int
    fetch_id: int
    job_id: int
    pipeline: str
    patient_key: str
    study_instance_uid: str
    series: tuple[str, ...]
    state: AskedState
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """A non-terminal row of the ledger, with the task that should be driving it.

    `stage` is the name of the handler that continues it and `row_id` what that handler is given.
    """

    stage: str
    row_id: int
    task_id: str
    priority: Priority
    attempt: int
    due_at: float
