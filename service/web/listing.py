# SPDX-License-Identifier: Apache-2.0
"""The worklist: the studies of a page as rows of a table, and the links to other pages of it."""

from dataclasses import dataclass, replace

from service.domain.entry import JobState
from service.ports.status_page import Identity, Listing, Order, View, WorkItem, Worklist
from service.web.labels import Label, Result, Sent, result, sent, study_state, why_urgent
from service.web.moments import HOUR_SECONDS, Moment, Say, duration, moment
from service.web.query import WINDOW_HOURS, Choice
from service.web.sources import Sources

ROWS = 50
UNFINISHED = frozenset({JobState.QUEUED, JobState.ANALYSED})
"""States in which there is no result yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A study in the list."""

    link: str
    key: str
    identity: Identity | None
    urgent: bool
    why: str
    received: Moment | None
    time: str
    state: Label | None
    results: tuple[Result, ...]
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A choice that the viewer can make; `chosen` says that this page is it."""

    text: str
    href: str
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """A page of the list."""

    rows: tuple[Row, ...]
    orders: tuple[Link, ...]
    windows: tuple[Link, ...]
    first: str
    next: str
    cut: bool


def listing_of(choice: Choice, *, now: float, with_identity: bool) -> Listing:
    """Return what the choice asks of the ledger."""
    return Listing(
        since=now - choice.hours * HOUR_SECONDS,
        order=choice.order,
        after=choice.after,
        limit=ROWS,
        with_identity=with_identity,
    )


def list_page(found: Worklist, choice: Choice, sources: Sources, say: Say) -> List:
    """Return the list as it is shown."""
    now = sources.now()
    start = replace(choice, after=None)
    windows = WINDOW_HOURS if choice.order is Order.TRIAGE else ()
    return List(
        rows=tuple(_row(item, choice, sources, say, now=now) for item in found.items),
        orders=(
            _order(Order.TRIAGE, say("urgent first, then oldest first"), start),
            _order(Order.NEWEST, say("newest first"), start),
        ),
        windows=tuple(
            Link(text=duration(hours * HOUR_SECONDS, say), href=start.link(hours=hours), chosen=hours == choice.hours)
            for hours in windows
        ),
        first=start.link() if choice.after else "",
        next=choice.link(after=found.next) if found.next else "",
        cut=found.cut,
    )


def views(items: tuple[WorkItem, ...], *, viewer: str, address: str) -> tuple[View, ...]:
    """Return what the audit trail is told of a page that shows whose these studies are."""
    return tuple(
        View(
            viewer=viewer,
            address=address,
            study_instance_uid=item.study_instance_uid,
            patient_id=item.identity.patient_id,
            accession_number=item.identity.accession_number,
        )
        for item in items
        if item.identity is not None
    )


def _order(order: Order, text: str, start: Choice) -> Link:
    return Link(text=text, href=start.link(order=order), chosen=order is start.order)


def _row(item: WorkItem, choice: Choice, sources: Sources, say: Say, *, now: float) -> Row:
    speech = sources.speech[choice.language]
    return Row(
        link=choice.link(f"study/{item.study_id}", after=None),
        key=sources.study_key(item.study_instance_uid),
        identity=item.identity,
        urgent=item.urgent,
        why=why_urgent(item, sources, say),
        received=moment(item.first_seen_at),
        time=_time(item, say, now=now),
        state=study_state(item, say),
        results=tuple(result(job, say, speech) for job in item.analyses),
        sent=sent(item.shares, say),
    )


def _time(item: WorkItem, say: Say, *, now: float) -> str:
    """Return the turnaround of the slowest analysis, or how long a result has been waited for."""
    made = [job.encoded_at - job.received_at for job in item.analyses if job.encoded_at is not None]
    waits = not made or any(job.state in UNFINISHED for job in item.analyses)
    if waits:
        return say("{time} since arrival", time=duration(now - item.first_seen_at, say))
    return say("result after {time}", time=duration(max(made), say))
