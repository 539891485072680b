# SPDX-License-Identifier: Apache-2.0
"""What stands beside the worklist: what needs a person, model packages, destinations, the quarantine, drift."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.ports.drift import DriftStatus
from service.ports.statistics import QueueCounts
from service.ports.status_page import ModelState, SetAside
from service.web import states
from service.web.labels import Label
from service.web.moments import Moment, Say, moment
from service.web.sources import Sources, Speech
from service.web.states import Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model package."""

    pipeline: str
    name: str
    role: str
    status: str
    sha256: str
    provider: str
    golden: Label
    golden_at: Moment | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """A destination: whether it is there, and how many objects are in which state."""

    name: str
    circuit: Label
    pending: int
    oldest: Moment | None
    committing: int
    refused: int
    declined: int
    abandoned: int
    last: Moment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """What lies in the quarantine for one reason, and what to do."""

    reason: str
    slug: str
    count: int
    first: Moment | None
    last: Moment | None
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """The drift of a package."""

    pipeline: str
    name: str
    state: Label
    psi: str
    since: Moment | None


def models(found: Sequence[ModelState], say: Say, speech: Speech) -> tuple[ModelRow, ...]:
    """Return the packages as rows."""
    return tuple(
        ModelRow(
            pipeline=speech.pipeline(item.pipeline),
            name=f"{item.name} {item.version}",
            role=say(states.ROLES.get(item.role, item.role)),
            status=say(item.status),
            sha256=item.sha256,
            provider=item.provider,
            golden=Label(text=say(states.GOLDEN[item.golden]), tone=states.GOLDEN_TONES[item.golden]),
            golden_at=moment(item.golden_at),
            problem=item.problem,
        )
        for item in found
    )


def destinations(counts: QueueCounts, names: Sequence[str], say: Say) -> tuple[DestinationRow, ...]:
    """Return the destinations of config.yaml, and others for which something is left."""
    known = dict.fromkeys([*names, *counts.circuits, *counts.deliveries_abandoned])
    return tuple(_destination(name, counts, say) for name in known)


def _destination(name: str, counts: QueueCounts, say: Say) -> DestinationRow:
    circuit = min(counts.circuits.get(name, 0), len(states.CIRCUITS) - 1)
    return DestinationRow(
        name=name,
        circuit=Label(text=say(states.CIRCUITS[circuit]), tone=states.CIRCUIT_TONES[circuit]),
        pending=counts.deliveries_pending.get(name, 0),
        oldest=moment(counts.oldest_delivery_at.get(name)),
        committing=counts.commitments_pending.get(name, 0),
        refused=counts.deliveries_refused.get(name, 0),
        declined=counts.deliveries_declined.get(name, 0),
        abandoned=counts.deliveries_abandoned.get(name, 0),
        last=moment(counts.last_delivered_at.get(name)),
    )


def quarantine(found: Sequence[SetAside], say: Say) -> tuple[QuarantineRow, ...]:
    """Return what lies in the quarantine as rows."""
    return tuple(
        QuarantineRow(
            reason=say(words) if words else item.reason,
            slug=item.reason,
            count=item.count,
            first=moment(item.first_at),
            last=moment(item.last_at),
            remedy=say(remedy),
        )
        for item in found
        for words, remedy in [states.SET_ASIDE.get(item.reason, ("", states.UNKNOWN_REMEDY))]
    )


def drift(found: Sequence[DriftStatus], say: Say, speech: Speech) -> tuple[DriftRow, ...]:
    """Return the drift of each package as rows."""
    return tuple(
        DriftRow(
            pipeline=speech.pipeline(item.pipeline),
            name=f"{item.model} {item.version}",
            state=Label(text=_shift(item, say), tone=states.DRIFT_TONES[item.mode]),
            psi="" if item.score_psi is None else f"{item.score_psi:.3f}",
            since=moment(item.since) if item.since else None,
        )
        for item in found
    )


def _shift(item: DriftStatus, say: Say) -> str:
    """Return the state, with the channels that have shifted, by the names that `dokuei drift list` gives."""
    state = say(states.DRIFTS[item.mode])
    return f"{state} ({', '.join(item.channels)})" if item.channels else state


def warnings(counts: QueueCounts, sources: Sources, say: Say) -> tuple[Label, ...]:
    """Return what needs a person, as sentences; nothing when nothing does."""
    readiness = sources.readiness()
    return (
        *(Label(text=text, tone=Tone.BAD) for text in _faults(counts, say)),
        *(Label(text=text, tone=Tone.BAD, lang="en") for text in readiness.problems.values()),
        *(Label(text=text, tone=Tone.WAITING, lang="en") for text in readiness.notes.values()),
    )


def _faults(counts: QueueCounts, say: Say) -> Iterator[str]:
    for name, circuit in counts.circuits.items():
        if circuit == states.NOT_REACHABLE:
            yield say("'{destination}' is not reachable; results wait and are sent when it is back", destination=name)
    for name, number in counts.deliveries_refused.items():
        yield say(
            "'{destination}' refused {count} objects; see why in the log, then 'dokuei retry'",
            destination=name,
            count=number,
        )
    for name, number in counts.deliveries_abandoned.items():
        yield say(
            "{count} objects wait for '{destination}', which config.yaml does not name any more",
            destination=name,
            count=number,
        )
    if counts.conflicts:
        yield say("{count} images came again with other bytes under the same UID", count=counts.conflicts)
    if counts.held:
        yield say("{count} result objects failed the checks before sending; why: 'dokuei held'", count=counts.held)
    if counts.failed_jobs:
        yield say("{count} analyses have no result at all; see the log", count=counts.failed_jobs)
