# SPDX-License-Identifier: Apache-2.0
"""What happens in the node, as values: each becomes one log line and the metrics that count it.

Fields never identify a patient: studies appear as `study_key` (see domain.study.study_key), peers and destinations by
their name in config.yaml ("other" for a stranger), reasons as slugs from closed sets.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(Event):
    """The node is listening; `durability` is "durable" unless somebody is measuring.

    `config_sha256_8` are the first digits of the digest of the settings (settings.schema.settings_digest). `member` is
    the process's name among those that share the ledger, "" for a node that is alone; `port` is 0 for no intake.
    """

    version: str
    ae_title: str
    port: int
    durability: str = "durable"
    config_sha256_8: str = ""
    role: str = "all"
    member: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStopping(Event):
    """The node drains and will exit."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDraining(Event):
    """The node takes nothing more in and goes on with what it has, because a person asked it to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationAccepted(Event):
    """A peer opened an association.

    `user_identity` is the type of the user identity that it offered (PS3.7 D.3.3.7), which the node does not use;
    "" for none. `association` names it in the lines of what came over it.
    """

    peer: str
    user_identity: str = ""
    association: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRejected(Event):
    """An association was refused: unknown AE title, address, certificate, called AE title, or draining.

    `calling_ae` is what the caller called itself: for the audit trail alone, since a stranger can write anything there.
    """

    peer: str
    reason: str
    address: str = ""
    calling_ae: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDropped(Event):
    """A connection was ended because the peer passed a limit or broke the protocol; `reason` is a slug."""

    reason: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHandshake(Event):
    """A TLS handshake on the listening side ended; `result` is "ok" or a slug that says why not."""

    result: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLoaded(Event):
    """A certificate of ours or a revocation list was read; `certificate` says which, "node" or a system's name."""

    certificate: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRejected(Event):
    """New certificate files cannot be used, so the last good ones stay in use."""

    certificate: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReceived(Event):
    """A C-STORE was answered; `outcome` is the StoreOutcome's value, `seconds` from request to response.

    `association` is that of AssociationAccepted, `study_key` that of everything that happens to the study.
    """

    peer: str
    modality: str
    outcome: str
    size_bytes: int
    seconds: float
    study_key: str
    association: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRefused(Event):
    """An object was not let in; `reason` is a Fault, `detail` names the element, the rule and the remedy, no value."""

    peer: str
    reason: str
    study_key: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntered(Event):
    """An object that was not let in, or a study that killed its worker, was kept aside.

    `reason` is a Fault, "conflict" or "poison".
    """

    peer: str
    reason: str
    study_key: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineTrimmed(Event):
    """The quarantine passed a limit and lost its oldest; `reason`: size, number, age."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDeleted(Event):
    """Files that nobody needs any more were deleted; the ledger keeps the proof under `purge`.

    `what` is "input" or "result"; `digests_sha256` is that of the list of their digests.
    """

    what: str
    study_key: str
    files: int
    size_bytes: int
    digests_sha256: str
    purge: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAudited(Event):
    """At the start, ledger and disk were compared: `orphans`, which no row names, were put away; `missing` are lost."""

    files: int
    orphans: int
    missing: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyClosed(Event):
    """A revision of a study's instance set was frozen; `reason` is "complete", "settled" or "quiet"."""

    study_key: str
    revision: int
    reason: str
    instances: int
    waited_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRouted(Event):
    """Rules were applied; no pipelines means that no rule matched (recorded, counted, not lost)."""

    study_key: str
    revision: int
    rules: tuple[str, ...]
    pipelines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished(Event):
    """A stage of the flow took `seconds`; stages: close, route, analyse, encode, deliver."""

    stage: str
    seconds: float
    study_key: str
    pipeline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceFinished(Event):
    """One run of one ONNX graph in the child process."""

    package: str
    version: str
    graph: str
    device: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAnalysed(Event):
    """A pipeline has come to an end with a study; `score` is that of the triage, -1 where it has none.

    `positive` says that the score lies at or above the package's operating point.
    """

    study_key: str
    pipeline: str
    package: str
    version: str
    outcome: str
    score: float = -1.0
    positive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRefused(Event):
    """A study was not analysed, for this reason (a visible result says so too)."""

    study_key: str
    pipeline: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFailed(Event):
    """A stage failed; it is tried again when `retryable`, else the study ends as not analysed.

    `detail` is what a developer needs: the type and the place in the code of a child's failure, never its text.
    """

    stage: str
    study_key: str
    pipeline: str
    error: str
    retryable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReady(Event):
    """Result objects are in the outbox."""

    study_key: str
    pipeline: str
    outcome: str
    priority: str
    package: str
    package_version: str
    turnaround_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityRaised(Event):
    """A study's reading priority was raised to urgent."""

    study_key: str
    pipeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHeld(Event):
    """A result object is held back; `reason`: "gate" (it failed its checks) or "encoder" (it could not be written)."""

    study_key: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceItemsLeftOut(Event):
    """Sequences of a source (keywords, parents first) lack an item in the results, because the item is not valid."""

    study_key: str
    sequences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextsNegotiated(Event):
    """A destination takes other SOP classes of ours than when it was last asked, or was asked for the first time."""

    destination: str
    accepted: tuple[str, ...]
    declined: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsSuperseded(Event):
    """A destination was told that older results of a study are replaced."""

    study_key: str
    destination: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDelivered(Event):
    """A destination answered a C-STORE.

    `status` is "stored", "refused", "unreachable", or "declined": it does not take this kind of object, and has the
    result in another.
    """

    study_key: str
    destination: str
    kind: str
    status: str
    seconds: float
    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlanned(Event):
    """Something did not work and is done again in `seconds`; stages: deliver, commit, circuit, report."""

    stage: str
    destination: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(Event):
    """A destination is tried again ("closed"), left alone ("open") or being probed ("half_open")."""

    destination: str
    state: str
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentSettled(Event):
    """A destination's word, or silence, on objects that it stored.

    `result`: committed, denied, found (by query, after no report), missing, unanswered, unsupported, unreachable,
    unknown (a report that nobody asked for), stranger (a report from a peer that was not asked).
    """

    destination: str
    result: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReported(Event):
    """We told a peer that asked which of its instances we keep; `status` is "sent" or "failed"."""

    peer: str
    status: str
    committed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSent(Event):
    """A notifier was called; `status` is "sent" or "failed"."""

    notifier: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRestarted(Event):
    """The child process was started again; `reason`: crashed, deadline."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsReconciled(Event):
    """The reconciler found jobs in the ledger that the engine did not know, and enqueued them again."""

    stage: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLoaded(Event):
    """A model package passed all load checks in a child process, or was rejected.

    `role` is "active" or "shadow", `device` the execution provider that runs it, `golden_difference` the largest
    absolute difference from its golden outputs.
    """

    package: str
    version: str
    status: str
    sha256_8: str
    error: str = ""
    role: str = "active"
    device: str = ""
    golden_difference: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRetired(Event):
    """A model package gave its place to another one; studies that it began are done."""

    package: str
    version: str
    status: str
    sha256_8: str
    role: str = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPassedOver(Event):
    """An execution provider that config.yaml asks for does not run a package, `used` does.

    `reason`: absent (ONNX Runtime has none of it), refused (it did not start), parity (golden outputs differ), lost (it
    failed at work).
    """

    package: str
    version: str
    provider: str
    reason: str
    used: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenTested(Event):
    """A loaded package ran its golden inputs again; `result` is "passed" or "failed", which takes it out of service."""

    package: str
    version: str
    result: str
    difference: float
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenStudiesTested(Event):
    """The golden studies of a package in use were run; "failed" takes it out of service.

    `result`: passed, failed, unfinished (the child process died or took too long: nothing is known).
    """

    package: str
    version: str
    result: str
    studies: int
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowCompared(Event):
    """A shadow package was run on a study that an active one has analysed; nobody is told of what it says.

    `result`: agrees, differs (another outcome, or on the other side of its operating point), failed, skipped (too many
    wait). `score_difference` is that of the triage scores, -1 where one of them has none.
    """

    study_key: str
    pipeline: str
    package: str
    version: str
    result: str
    score_difference: float = -1.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSettled(Event):
    """A study that waited for an older one goes on; `outcome` is a FetchOutcome, `seconds` how long it waited.

    `detail` says what the archive answered, without UIDs and patients.
    """

    study_key: str
    pipeline: str
    source: str
    outcome: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlarmRaised(Event):
    """The studies that come are no longer like the reference of a package; or another of its channels shifted too.

    `kinds` and `channels` say what has shifted, `studies` how many the watch has counted.
    """

    pipeline: str
    package: str
    version: str
    kinds: tuple[str, ...]
    channels: tuple[str, ...]
    studies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationReloaded(Event):
    """config.yaml was read again; `result`: applied, partly (some packages failed their checks), rejected.

    `kept` are the pipelines whose packages stay although others were asked for, `restart` the sections that have
    changed and need a restart. `config_sha256_8` is of the settings that are in effect now, "" where they stay.
    """

    result: str
    kept: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problem: str = ""
    config_sha256_8: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCollectorChanged(Event):
    """The collector at traces.endpoint stopped taking spans, which are lost then, or takes them again."""

    takes_spans: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerRefused(Event):
    """Somebody wanted to sign in to the status page and was not let in; `reason`: credentials, too_many, plain.

    `address` is where the request came from: for the audit trail.
    """

    reason: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCollectorLost(Event):
    """The audit collector cannot be reached; messages wait on disk. `reason` is a slug."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCollectorReached(Event):
    """The audit collector takes messages (again); `pending` waited for it."""

    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSent(Event):
    """Audit messages reached the collector."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDropped(Event):
    """More audit messages waited than may; the oldest are lost, which is itself audited."""

    count: int
