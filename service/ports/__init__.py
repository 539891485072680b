# SPDX-License-Identifier: Apache-2.0
"""Every seam of the node as a Protocol: the workflow knows these, never the rooms behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.event import Event
from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile
from service.domain.reliability import Reliability
from service.domain.result import PackageIdentity, PipelineResult, Priority
from service.domain.screening import Performance
from service.domain.study import Completeness, Refusal, Selection
from service.ports.analyst import (
    AnalysisRequest,
    AnalysisSummary,
    Analyst,
    EncodeRequest,
    InstalledPackage,
    ObjectSet,
    PriorAnalysis,
    PriorObject,
    RejectRequest,
    ResultObject,
)
from service.ports.audit import AuditCollector, AuditLedger
from service.ports.commitment import (
    CommitmentFailure,
    CommitmentListener,
    CommitmentPeer,
    CommitmentReport,
    CommitmentRequest,
    CommitmentService,
    ObjectReference,
)
from service.ports.engine import Engine, Task, TaskHandler
from service.ports.ledger import DeliveryLedger, JobLedger, KnownInstance, Ledger, LedgerTransaction, StudyLedger
from service.ports.outbox import CircuitLedger, CommitmentLedger, OrderLedger
from service.ports.priors import AskedQuery, FetchLedger, PriorSource
from service.ports.store import ArrivedFile, InstanceStore
from service.settings.results import ResultKind

__all__ = [
    "AnalysisRequest",
    "AnalysisSummary",
    "Analyst",
    "ArrivedFile",
    "AskedQuery",
    "AuditCollector",
    "AuditLedger",
    "CircuitLedger",
    "Clock",
    "CommitmentFailure",
    "CommitmentLedger",
    "CommitmentListener",
    "CommitmentPeer",
    "CommitmentReport",
    "CommitmentRequest",
    "CommitmentService",
    "DeliveryLedger",
    "Destination",
    "EncodeRequest",
    "EncodedObject",
    "Engine",
    "FetchLedger",
    "IncomingInstance",
    "InstalledPackage",
    "InstanceStore",
    "JobLedger",
    "KnownInstance",
    "Ledger",
    "LedgerTransaction",
    "Notification",
    "Notifier",
    "ObjectReference",
    "ObjectSet",
    "Observer",
    "OrderLedger",
    "Package",
    "Pipeline",
    "PriorAnalysis",
    "PriorObject",
    "PriorSource",
    "Receiver",
    "RejectRequest",
    "ResultContext",
    "ResultEncoder",
    "ResultKind",
    "ResultObject",
    "StoreOutcome",
    "StudyLedger",
    "Task",
    "TaskHandler",
    "Tensors",
]

Tensors = Mapping[str, NDArray[Any]]


class Clock(Protocol):
    """Wall-clock time for the record, monotonic time for every duration."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""


class Observer(Protocol):
    """Receives everything that happens; must not raise and must return quickly."""

    def __call__(self, event: Event, /) -> None:
        """Log and count the event."""


# --- receiving ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingInstance:
    """A C-STORE request (or STOW-RS part) as a transport hands it over.

    `dataset` yields the encoded data set, without preamble and file meta information, in `transfer_syntax_uid`. It is a
    stream that can be read once; a chunk is valid until the next one is asked for, because the buffer is used again.
    Reading it raises OSError when the peer breaks off, which passes through the receiver: nothing must be left behind.
    A receiver that refuses before it reads lets the peer be told at once.
    `peer` is the peer's name in config.yaml. `study_instance_uid` is the study that the sender said it sends (the URL
    of a STOW-RS request), "" when it said none: an instance of another study is a MISMATCH. `association` names the
    association in logs. `move_originator` is the AE title whose C-MOVE made the peer send it (PS3.7 9.1.1.1.9), ""
    where the peer says none.
    """

    peer: str
    calling_ae: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: Iterable[bytes | memoryview]
    study_instance_uid: str = ""
    association: str = ""
    move_originator: str = ""


class StoreOutcome(StrEnum):
    """What became of an incoming instance; transports map it to their own status."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Same UID, same bytes: acknowledged, nothing changed."""
    CONFLICT = "conflict"
    """Same UID, other bytes: kept aside and reported; the first one stays."""
    OUT_OF_RESOURCES = "out_of_resources"
    OWN_RESULT = "own_result"
    """One of our own results came back: refused, or it would be analysed again."""
    MISMATCH = "mismatch"
    """The data set's SOP class or instance UID differs from the command's (PS3.4 B.2.3)."""
    CANNOT_UNDERSTAND = "cannot_understand"


class Receiver(Protocol):
    """The service behind every transport that takes instances in."""

    def __call__(self, incoming: IncomingInstance) -> StoreOutcome:
        """Put the instance on stable storage and into the ledger; STORED is returned only after both."""


# --- analysing ------------------------------------------------------------------------------------------------------


class Package(Protocol):
    """A verified model package: its identity and the parameters its manifest pins."""

    @property
    def identity(self) -> PackageIdentity:
        """Name, version, digest and status."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Preprocessing and post-processing parameters of the manifest, by name; JSON types."""

    @property
    def acceptance(self) -> Mapping[str, Any]:
        """The acceptance profile of the manifest: every header and pixel gate as data; JSON types."""

    @property
    def operating_points(self) -> Mapping[str, float]:
        """Thresholds by name."""

    @property
    def triage_operating_point(self) -> str:
        """Name of the operating point that triage applies."""

    @property
    def reliability(self) -> Reliability:
        """Calibration, sets and limits of distribution; empty where the manifest declares none."""

    @property
    def performance(self) -> Mapping[str, Performance]:
        """Sensitivity and specificity by operating point, where the manifest has both."""

    @property
    def prevalence(self) -> float | None:
        """Share of disease among the site's studies of this pipeline; None where config.yaml does not say."""

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one graph of the package, for example "zones", in this process's warm session.

        Raises
        ------
        PackageError
            The graph is unknown, or an input's name, dtype or shape differs from the manifest's contract.
        """


class Pipeline(Protocol):
    """One clinical pipeline. All methods but `run` see headers only and are cheap."""

    @property
    def name(self) -> str:
        """The pipeline's name in config.yaml, for example "mammography"."""

    def completeness(self, instances: Sequence[Instance]) -> Completeness:
        """Say whether a study's instances so far are enough to start."""

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
        """Choose the instances to analyse, or refuse the study by its headers (gate G0)."""

    def run(self, selection: Selection, package: Package, *, analysed_at: datetime) -> PipelineResult:
        """Decode, check the pixels, infer and explain. Runs in the child process.

        A refusal by pixels or anatomy is a result with outcome NOT_ANALYSED, never an exception.

        Raises
        ------
        PixelError
            The pixel data cannot be decoded.
        """


# --- results --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultContext:
    """What an encoder needs beside the result.

    `sources` are the input instances (headers are read from their files when needed); `revision` is 1 for a study's
    first result; `predecessors` are the objects of the kind that is written which this one supersedes and which the
    destinations of this profile have.
    `may_raise` says whether the site lets this package's score raise a priority; where it does not, a priority that is
    urgent comes from a routing rule, and no result may claim it. `profile` is how the destination wants it written.
    """

    sources: tuple[Instance, ...]
    revision: int
    priority: Priority
    may_raise: bool = True
    profile: EncodingProfile = DEFAULT_PROFILE
    predecessors: tuple[PriorObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedObject:
    """A result object as a DICOM file: deterministic UIDs, byte-identical for the same result.

    Objects with the same `slot` say the same thing in different SOP classes: a destination is sent the one of lowest
    `rank` that it accepts, and none of the others. An object with no `slot` stands for itself.
    """

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    slot: str = ""
    rank: int = 0


class ResultEncoder(Protocol):
    """Turns a neutral result into the DICOM files of one kind."""

    def __call__(self, result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
        """Write the files into `folder` and describe them; an empty tuple when this kind has nothing to say."""


class Destination(Protocol):
    """A DICOM node that takes results."""

    @property
    def name(self) -> str:
        """Name in config.yaml."""

    def send(self, objects: Sequence[EncodedObject]) -> Mapping[str, int | None]:
        """C-STORE the objects over one association; of each slot at most one, the first that is accepted.

        Returns the DIMSE status by SOP Instance UID: 0x0122 where the SOP class was not accepted in negotiation, None
        where no answer came because the association broke. An object that is not in the answer was not offered,
        because another one of its slot was.

        Raises
        ------
        DestinationUnreachableError
            No association could be made.
        """

    def interrupt(self) -> None:
        """Break what is being sent, now and from now on: the node stops, and sends it again after its next start."""

    def echo(self) -> None:
        """C-ECHO; raises DestinationUnreachableError with what went wrong and what to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a notifier tells another system about a study. It carries identity: notifiers are configured by the site."""

    study_instance_uid: str
    accession_number: str
    patient_id: str
    pipeline: str
    outcome: str
    priority: Priority
    headline: str
    package: str
    demonstration: bool


class Notifier(Protocol):
    """Tells another system (RIS, worklist, chat) of a raised priority."""

    @property
    def name(self) -> str:
        """Name in config.yaml."""

    def notify(self, notification: Notification) -> None:
        """Send it; raises DeliveryError when the other side did not take it."""
