# SPDX-License-Identifier: Apache-2.0
"""Each event as a sentence for people and a level; the fields follow beside it as data."""

import logging
import re

from service.domain import event as events
from service.domain.event import Event

SENTENCES: dict[type[Event], str] = {
    events.NodeStarted: "The node listens.",
    events.NodeStopping: "The node finishes its work and stops.",
    events.AssociationAccepted: "A peer opened an association.",
    events.AssociationRejected: "An association was refused; 'reason' says which setting it failed.",
    events.ConnectionDropped: "A connection was dropped because the peer passed a limit or broke the protocol.",
    events.InstanceReceived: "An instance was answered.",
    events.StudyClosed: "A study's images were taken as complete.",
    events.StudyRouted: "Rules chose the pipelines of a study.",
    events.StageFinished: "A stage of the work on a study ended.",
    events.StageFailed: "A stage failed; it is tried again when it is retryable.",
    events.JobsReconciled: "Jobs that the engine had lost were found in the ledger and started again.",
    events.InferenceFinished: "A graph was run.",
    events.AnalysisRefused: "A study was not analysed; the result says so too.",
    events.ResultReady: "A result waits for delivery.",
    events.PriorityRaised: "A study's priority was raised to urgent.",
    events.ObjectHeld: "A result object failed its checks and was held back.",
    events.ObjectDelivered: "A destination answered.",
    events.NotificationSent: "A notifier was called.",
    events.WorkerRestarted: "The child process was started again.",
    events.PackageLoaded: "A model package was checked.",
}

LEVELS: dict[type[Event], int] = {
    events.AssociationRejected: logging.WARNING,
    events.ConnectionDropped: logging.WARNING,
    events.StageFailed: logging.ERROR,
    events.JobsReconciled: logging.WARNING,
    events.AnalysisRefused: logging.WARNING,
    events.ObjectHeld: logging.ERROR,
    events.WorkerRestarted: logging.ERROR,
    events.StageFinished: logging.DEBUG,
    events.InferenceFinished: logging.DEBUG,
}


def event_name(event: Event) -> str:
    """Return the stable name of an event in logs: its class in snake_case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


def sentence(event: Event) -> str:
    """Return what happened, for people."""
    return SENTENCES.get(type(event), "")


def level(event: Event) -> int:
    """Return how much the event matters, as a logging level; what a peer or a package did wrong is a warning."""
    return max(LEVELS.get(type(event), logging.INFO), _level_by_outcome(event))


def _level_by_outcome(event: Event) -> int:
    match event:
        case events.InstanceReceived(outcome=outcome) if outcome not in {"stored", "duplicate"}:
            return logging.WARNING
        case events.ObjectDelivered(status=status) if status != "stored":
            return logging.WARNING
        case events.NotificationSent(status="failed"):
            return logging.WARNING
        case events.PackageLoaded(error=error) if error:
            return logging.ERROR
        case events.StudyRouted(pipelines=()):
            return logging.WARNING
        case _:
            return logging.NOTSET
