# SPDX-License-Identifier: Apache-2.0
"""Each event as a sentence for people and a level; the fields follow beside it as data."""

import logging
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from service.domain import event as events
from service.domain.event import Event
from service.observability.labels import is_word, modality_word

SENTENCES: dict[type[Event], str] = {
    events.NodeStarted: "The node listens.",
    events.NodeStopping: "The node finishes its work and stops.",
    events.NodeDraining: "The node takes nothing more in and finishes what it has; a restart takes studies in again.",
    events.AssociationAccepted: "A peer opened an association.",
    events.AssociationRejected: "An association was refused; 'reason' says which setting it failed.",
    events.ConnectionDropped: "A connection was dropped because the peer passed a limit or broke the protocol.",
    events.TlsHandshake: "A TLS handshake ended; 'result' says how.",
    events.CertificateLoaded: "A certificate or revocation list was read.",
    events.CertificateRejected: "New certificate files cannot be used; the last good ones stay in use.",
    events.InstanceReceived: "An instance was answered.",
    events.AdmissionRefused: "An object was not let in; 'detail' says why and what to do.",
    events.QuarantineEntered: "Something was kept aside for a person; see `dokuei quarantine list`.",
    events.QuarantineTrimmed: "The quarantine passed a limit and gave up its oldest.",
    events.DataDeleted: "Files that nobody needs any more were deleted; the ledger keeps the proof.",
    events.StorageAudited: "Ledger and disk were compared; 'missing' files are named by the ledger and not there.",
    events.StudyClosed: "A study's images were taken as complete.",
    events.StudyRouted: "Rules chose the pipelines of a study.",
    events.StageFinished: "A stage of the work on a study ended.",
    events.StageFailed: "A stage failed; it is tried again when it is retryable.",
    events.JobsReconciled: "Jobs that the engine had lost were found in the ledger and started again.",
    events.InferenceFinished: "A graph was run.",
    events.StudyAnalysed: "A pipeline came to an end with a study.",
    events.AnalysisRefused: "A study was not analysed; the result says so too.",
    events.ResultReady: "A result waits for delivery.",
    events.PriorityRaised: "A study's priority was raised to urgent.",
    events.ObjectHeld: "A result object was held back; see `dokuei held`.",
    events.SourceItemsLeftOut: "Items of the source's header that are not valid were left out of the results.",
    events.ContextsNegotiated: "A destination said which SOP classes it takes.",
    events.ResultsSuperseded: "A destination was told that older results of a study are replaced.",
    events.ObjectDelivered: "A destination answered.",
    events.RetryPlanned: "Something did not work and is done again.",
    events.CircuitChanged: "A destination is tried again (closed), left alone (open) or probed (half_open).",
    events.CommitmentSettled: "A destination's word, or silence, on the storage commitment of objects.",
    events.CommitmentReported: "A peer that asked for storage commitment was told what is kept here.",
    events.NotificationSent: "A notifier was called.",
    events.WorkerRestarted: "The child process was started again.",
    events.PackageLoaded: "A model package was checked.",
    events.PackageRetired: "A model package gave its place to another one.",
    events.ProviderPassedOver: "A provider that config.yaml asks for does not run a package; 'used' does.",
    events.GoldenTested: "A package ran its golden inputs again; one that fails is out of service.",
    events.GoldenStudiesTested: "The golden studies of a package in use were run; one that fails is out of service.",
    events.ShadowCompared: "A shadow package was compared with the active one.",
    events.PriorSettled: "A study that waited for an older one from the archive goes on; 'outcome' says with what.",
    events.DriftAlarmRaised: "Studies differ from a package's reference; see `dokuei drift list`.",
    events.ConfigurationReloaded: "config.yaml was read again; 'kept' packages stay, 'restart' needs one.",
    events.TraceCollectorChanged: "While 'takes_spans' is false, traces are lost; see whether the collector runs.",
    events.ViewerRefused: "Somebody was not let see identity on the status page; 'reason' says why.",
    events.AuditCollectorReached: "The audit collector takes messages.",
    events.AuditCollectorLost: "The audit collector cannot be reached; messages wait on disk.",
    events.AuditSent: "Audit messages reached the collector.",
    events.AuditDropped: "Too many audit messages wait; the oldest were dropped. Repair the collector.",
}

LEVELS: dict[type[Event], int] = {
    events.AssociationRejected: logging.WARNING,
    events.ConnectionDropped: logging.WARNING,
    events.TlsHandshake: logging.DEBUG,
    events.CertificateRejected: logging.ERROR,
    events.TraceCollectorChanged: logging.WARNING,
    events.ViewerRefused: logging.WARNING,
    events.AuditCollectorLost: logging.ERROR,
    events.AuditDropped: logging.ERROR,
    events.AuditSent: logging.DEBUG,
    events.AdmissionRefused: logging.WARNING,
    events.QuarantineEntered: logging.ERROR,
    events.QuarantineTrimmed: logging.WARNING,
    events.StageFailed: logging.WARNING,
    events.JobsReconciled: logging.WARNING,
    events.ObjectHeld: logging.ERROR,
    events.WorkerRestarted: logging.ERROR,
    events.ProviderPassedOver: logging.WARNING,
    events.DriftAlarmRaised: logging.ERROR,
    events.ShadowCompared: logging.DEBUG,
    events.RetryPlanned: logging.DEBUG,
    events.StageFinished: logging.DEBUG,
    events.InferenceFinished: logging.DEBUG,
    events.StudyAnalysed: logging.DEBUG,
}

WORSE: dict[type[Event], tuple[int, Callable[[Any], bool]]] = {
    events.InstanceReceived: (logging.WARNING, lambda event: event.outcome not in {"stored", "duplicate"}),
    events.TlsHandshake: (logging.WARNING, lambda event: event.result != "ok"),
    events.NodeStarted: (logging.ERROR, lambda event: event.durability != "durable"),
    events.StorageAudited: (logging.ERROR, lambda event: event.missing > 0),
    events.StudyRouted: (logging.WARNING, lambda event: not event.pipelines),
    events.StageFailed: (logging.ERROR, lambda event: not event.retryable),
    events.ObjectDelivered: (logging.WARNING, lambda event: event.status not in {"stored", "declined"}),
    events.CircuitChanged: (logging.WARNING, lambda event: event.state == "open"),
    events.CommitmentSettled: (logging.WARNING, lambda event: event.result not in {"committed", "found"}),
    events.CommitmentReported: (logging.WARNING, lambda event: event.status == "failed"),
    events.NotificationSent: (logging.WARNING, lambda event: event.status == "failed"),
    events.PackageLoaded: (logging.ERROR, lambda event: bool(event.error)),
    events.GoldenTested: (logging.ERROR, lambda event: event.result == "failed"),
    events.GoldenStudiesTested: (logging.ERROR, lambda event: event.result != "passed"),
    events.ShadowCompared: (logging.WARNING, lambda event: event.result in {"failed", "skipped"}),
    events.PriorSettled: (logging.WARNING, lambda event: event.outcome not in {"comparable", "none"}),
    events.ConfigurationReloaded: (logging.ERROR, lambda event: event.result != "applied"),
}
"""The level of an event in which something went wrong."""

NEVER: tuple[int, Callable[[Any], bool]] = (logging.INFO, lambda _event: False)

SENTENCE_FIELDS = {
    (events.NodeStarted, "ae_title"),
    (events.PackageLoaded, "error"),
    (events.ProviderPassedOver, "detail"),
    (events.GoldenTested, "error"),
    (events.GoldenStudiesTested, "error"),
    (events.ConfigurationReloaded, "problem"),
    (events.StageFailed, "detail"),
    (events.PriorSettled, "detail"),
    (events.CertificateRejected, "problem"),
    (events.AdmissionRefused, "detail"),
}
"""The fields that may hold more than a word: they come from the site or from our own code, never from a study."""
AUDIT_FIELDS = {(events.AssociationRejected, "calling_ae")}
"""The fields that a stranger writes: the audit trail keeps them, the log does not."""
WITHHELD = "(withheld)"


def event_name(event: Event) -> str:
    """Return the stable name of an event in logs: its class in snake_case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


def sentence(event: Event) -> str:
    """Return what happened, for people."""
    return SENTENCES.get(type(event), "")


def level(event: Event) -> int:
    """Return how much the event matters, as a logging level."""
    worse, is_worse = WORSE.get(type(event), NEVER)
    return worse if is_worse(event) else LEVELS.get(type(event), logging.INFO)


def safe_fields(event: Event) -> dict[str, object]:
    """Return the event's fields; text that is not a plain word is withheld, for it may quote a data set."""
    names = [field.name for field in fields(event) if (type(event), field.name) not in AUDIT_FIELDS]
    return {name: _safe(event, name) for name in names}


def _safe(event: Event, name: str) -> object:
    value = getattr(event, name)
    if (type(event), name) in SENTENCE_FIELDS:
        return value
    if name == "modality":
        return modality_word(value)
    if isinstance(value, tuple):
        return [_word(item) for item in value]
    return _word(value) if isinstance(value, str) else value


def _word(text: str) -> str:
    return text if is_word(text) else WITHHELD
