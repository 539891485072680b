# SPDX-License-Identifier: Apache-2.0
"""Studies in the order in which they are to be looked at, for the status page: what a ledger of years costs is bounded.

A row of `study` is as old as its number, so that "oldest first" is the primary key. What is urgent is looked for among
the newest studies only, and every further query is for the few studies of one page.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from service.domain.entry import DeliveryState, JobState
from service.domain.result import Priority, Reason
from service.ports.status_page import (
    AnalysisState,
    DestinationShare,
    Identity,
    Listing,
    Order,
    Position,
    RevisionState,
    WorkItem,
    Worklist,
)
from service.storage import schema

WINDOW_STUDIES = 20_000
"""Triage order goes back so many studies at most, whatever the time that is asked for: two weeks of a busy site."""
ANALYSES = 50
"""So many analyses of one study are shown, the newest."""

JOB_COLUMNS = tuple(field.name for field in fields(AnalysisState))
REVISION_COLUMNS = tuple(field.name for field in fields(RevisionState))
Entry = TypeVar("Entry", AnalysisState, RevisionState, DestinationShare)


def worklist(connection: sa.Connection, listing: Listing, *, root: Path) -> Worklist:
    """Return a page of the list."""
    found, cut = (
        _triaged(connection, listing) if listing.order is Order.TRIAGE else (_newest(connection, listing), False)
    )
    page = found[: listing.limit]
    items = work_items(connection, page, root=root, with_identity=listing.with_identity)
    return Worklist(items=items, next=page[-1] if len(found) > listing.limit else None, cut=cut)


def work_items(
    connection: sa.Connection, positions: Sequence[Position], *, root: Path, with_identity: bool
) -> tuple[WorkItem, ...]:
    """Return the studies at these positions, in their order."""
    ids = [position.study_id for position in positions]
    studies = {row["id"]: row for row in _rows(connection, sa.select(schema.study).where(schema.study.c.id.in_(ids)))}
    revisions = {item.study_id: item for item in revisions_of(connection, ids)}
    analyses = _grouped(newest_of_each(analyses_of(connection, ids)))
    shares = _shares(connection, [job for jobs in analyses.values() for job in jobs])
    identities = _identities(connection, ids, root=root) if with_identity else {}
    return tuple(
        WorkItem(
            study_id=position.study_id,
            study_instance_uid=row["study_instance_uid"],
            first_seen_at=row["first_seen_at"],
            last_seen_at=row["last_seen_at"],
            unclosed=row["unclosed"],
            fetched=row["fetched"],
            urgent=position.urgent,
            revision=revisions.get(position.study_id),
            analyses=tuple(analyses[position.study_id]),
            shares=tuple(share for job in analyses[position.study_id] for share in shares[job.id]),
            identity=identities.get(position.study_id, Identity()) if with_identity else None,
        )
        for position in positions
        if (row := studies.get(position.study_id)) is not None
    )


def analyses_of(connection: sa.Connection, study_ids: Sequence[int]) -> tuple[AnalysisState, ...]:
    """Return the analyses of these studies, oldest first."""
    job = schema.job.c
    query = sa.select(*(job[name] for name in JOB_COLUMNS)).where(job.study_id.in_(study_ids)).order_by(job.id)
    return tuple(_analysis(row) for row in _rows(connection, query))


def newest_of_each(analyses: Iterable[AnalysisState]) -> tuple[AnalysisState, ...]:
    """Return the newest analysis of each study by each pipeline: its result replaces the earlier ones."""
    newest = {(item.study_id, item.pipeline): item for item in analyses}
    return tuple(newest[key] for key in sorted(newest))


def revisions_of(connection: sa.Connection, study_ids: Sequence[int]) -> tuple[RevisionState, ...]:
    """Return the revisions of these studies, oldest first."""
    revision = schema.revision.c
    columns = [revision[name] for name in REVISION_COLUMNS]
    query = sa.select(*columns).where(revision.study_id.in_(study_ids)).order_by(revision.id)
    return tuple(
        RevisionState(**{**row, "rules": tuple(row["rules"]), "pipelines": tuple(row["pipelines"])})
        for row in _rows(connection, query)
    )


def is_urgent(connection: sa.Connection, study_id: int) -> bool:
    """Say whether any analysis of a study was urgent: a priority is never lowered."""
    return bool(connection.execute(sa.select(sa.literal(1)).where(_urgent(study_id)).limit(1)).first())


def _triaged(connection: sa.Connection, listing: Listing) -> tuple[list[Position], bool]:
    """Return positions in triage order, one more than asked for where there are more; whether older ones are cut."""
    before, cut = _before_window(connection, listing.since)
    after, wanted = listing.after, listing.limit + 1
    found: list[Position] = []
    if after is None or after.urgent:
        found = _urgent_positions(connection, behind=max(before, after.study_id if after else 0), limit=wanted)
        after = None
    if len(found) < wanted:
        behind = max(before, after.study_id if after else 0)
        found += _routine_positions(connection, behind=behind, limit=wanted - len(found))
    return found, cut


def _before_window(connection: sa.Connection, since: float) -> tuple[int, bool]:
    """Return the number that the studies of the window lie behind; whether studies within the time lie before it."""
    study = schema.study.c
    newest = int(connection.execute(sa.select(sa.func.max(study.id))).scalar_one() or 0)
    lowest = max(0, newest - WINDOW_STUDIES)
    older = sa.select(study.id).where(study.id > lowest, study.first_seen_at < since).order_by(study.id.desc()).limit(1)
    before = connection.execute(older).scalar_one_or_none()
    return (lowest, lowest > 0) if before is None else (int(before), False)


def _urgent_positions(connection: sa.Connection, *, behind: int, limit: int) -> list[Position]:
    job = schema.job.c
    query = sa.select(job.study_id).where(job.study_id > behind, job.priority == Priority.URGENT.value).distinct()
    ids = connection.execute(query.order_by(job.study_id).limit(limit)).scalars()
    return [Position(urgent=True, study_id=study_id) for study_id in ids]


def _routine_positions(connection: sa.Connection, *, behind: int, limit: int) -> list[Position]:
    study = schema.study.c
    # An older study that was fetched waits for nobody to read it: "newest first" lists it.
    read = (study.id > behind, study.fetched == 0, ~_urgent(study.id))
    query = sa.select(study.id).where(*read).order_by(study.id).limit(limit)
    return [Position(urgent=False, study_id=study_id) for study_id in connection.execute(query).scalars()]


def _newest(connection: sa.Connection, listing: Listing) -> list[Position]:
    study = schema.study.c
    query = sa.select(study.id, _urgent(study.id).label("urgent")).order_by(study.id.desc()).limit(listing.limit + 1)
    if listing.after is not None:
        query = query.where(study.id < listing.after.study_id)
    return [Position(urgent=bool(row.urgent), study_id=row.id) for row in connection.execute(query)]


def _urgent(study_id: sa.Column[int] | int) -> sa.Exists:
    job = schema.job.c
    return sa.exists().where(job.study_id == study_id, job.priority == Priority.URGENT.value)


def _shares(connection: sa.Connection, jobs: Sequence[AnalysisState]) -> Mapping[int, list[DestinationShare]]:
    delivery = schema.delivery.c
    columns = (delivery.job_id, delivery.destination, delivery.state)
    query = sa.select(*columns, sa.func.count().label("objects")).where(delivery.job_id.in_([job.id for job in jobs]))
    found: dict[int, list[DestinationShare]] = defaultdict(list)
    for row in _rows(connection, query.group_by(*columns).order_by(*columns)):
        share = DestinationShare(**{**row, "state": DeliveryState(row["state"])})
        found[share.job_id].append(share)
    return found


def _identities(connection: sa.Connection, study_ids: Sequence[int], *, root: Path) -> Mapping[int, Identity]:
    """Return whose the studies are, as the first image of each says."""
    instance = schema.instance.c
    first = sa.select(sa.func.min(instance.id)).where(instance.study_id.in_(study_ids)).group_by(instance.study_id)
    query = sa.select(instance.study_id, instance.path, instance.attributes).where(instance.id.in_(first))
    return {row["study_id"]: _identity(row, root=root) for row in _rows(connection, query)}


def _identity(row: Mapping[Any, Any], *, root: Path) -> Identity:
    attributes = row["attributes"]

    def text(keyword: str) -> str:
        value = attributes.get(keyword)
        value = value[0] if isinstance(value, list) and value else value
        return "" if value is None else str(value).strip()

    return Identity(
        patient_id=text("PatientID"),
        birth_date=text("PatientBirthDate"),
        sex=text("PatientSex"),
        accession_number=text("AccessionNumber"),
        study_date=text("StudyDate"),
        path=root / row["path"] if row["path"] else None,
    )


def _analysis(row: Mapping[Any, Any]) -> AnalysisState:
    changed = {
        "state": JobState(row["state"]),
        "priority": Priority(row["priority"]),
        "refusals": tuple(Reason(**reason) for reason in row["refusals"]),
        "flags": tuple(Reason(**reason) for reason in row["flags"]),
    }
    return AnalysisState(**{**row, **changed})


def _grouped(analyses: Iterable[AnalysisState]) -> Mapping[int, list[AnalysisState]]:
    found: dict[int, list[AnalysisState]] = defaultdict(list)
    for item in analyses:
        found[item.study_id].append(item)
    return found


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Mapping[Any, Any]]:
    return connection.execute(query).mappings().all()
