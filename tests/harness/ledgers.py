# SPDX-License-Identifier: Apache-2.0
"""Ledgers of nodes that never ran: studies in every state there is, and as many as years bring."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import CommitmentState, DeliveryState, JobState, NotificationState
from service.domain.result import Outcome
from service.storage import schema

DIGEST = "ab" * 32
PACKAGE = {
    "package_name": "pneumoconiosis-demo",
    "package_version": "0.2.0",
    "package_sha256": DIGEST,
    "package_status": "demonstration",
    "package_title": "Demonstration",
}
REFUSAL = {
    "code": "view_position",
    "message": "(0018,5101) 'View Position' is 'LL'; the pipeline reads PA and AP; send a PA view",
}
EVERY_STATE = 19
"""The number of studies that `fill` adds."""


@dataclass
class LedgerWriter:
    """Writes rows; times are in seconds since the epoch, UIDs are numbered from `first`."""

    engine: sa.Engine
    first: int = 1
    _numbers: "itertools.count[int]" = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(self.first)

    def insert(self, table: sa.Table, **values: Any) -> int:
        with self.engine.begin() as connection:
            key = connection.execute(sa.insert(table).values(values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def study(self, at: float, *, patient: str = "P1", images: int = 2, unclosed: int = 0, path: str = "") -> int:
        """Add a study that has come; `path` is that of its first image in the data folder."""
        number = next(self._numbers)
        uid = f"2.25.{number}"
        study = self.insert(
            schema.study,
            study_instance_uid=uid,
            first_seen_at=at,
            last_seen_at=at + images,
            evaluated_at=at,
            revision=0,
            unclosed=unclosed,
        )
        attributes = {"PatientID": patient, "AccessionNumber": f"A-{patient}", "PatientBirthDate": "19500102"}
        for image in range(images):
            self.insert(
                schema.instance,
                study_id=study,
                sop_instance_uid=f"{uid}.{image}",
                path=path if image == 0 and path else f"{number}-{image}.dcm",
                size_bytes=1,
                peer="modality",
                calling_ae="MODALITY",
                received_at=at + image,
                attributes={**attributes, "PatientSex": "M", "StudyDate": "20261129"},
            )
        return study

    def close(self, study: int, at: float, *, reason: str = "complete", routed: bool = True, rule: str = "film") -> int:
        """Freeze and route what came; no rule matches where `rule` is ""."""
        return self.insert(
            schema.revision,
            study_id=study,
            number=1,
            reason=reason,
            instance_count=2,
            closed_at=at,
            routed_at=at + 1 if routed else None,
            rules=[rule] if rule and routed else [],
            pipelines=["pneumoconiosis"] if rule and routed else [],
        )

    def job(self, study: int, revision: int, at: float, state: JobState, **values: Any) -> int:
        """Add an analysis; what belongs to the state is filled in."""
        done = {
            "outcome": Outcome.NO_FINDINGS.value,
            "headline": "No findings",
            "analysed_at": at + 20,
            "triage_score": 0.12,
        }
        encoded = {"encoded_at": at + 25} if state in {JobState.ENCODED, JobState.FINISHED} else {}
        ended = {"ended_at": at + 40} if state in {JobState.FINISHED, JobState.SUPERSEDED, JobState.FAILED} else {}
        standard = {
            "key": f"{next(self._numbers):032x}",
            "study_id": study,
            "revision_id": revision,
            "result_revision": 1,
            "pipeline": "pneumoconiosis",
            "priority": "routine",
            "state": state.value,
            "inputs": [],
            "flags": [],
            "refusals": [],
            "received_at": at,
            "created_at": at + 10,
            **PACKAGE,
            **(done if state not in {JobState.QUEUED, JobState.SUPERSEDED} else {}),
        }
        return self.insert(schema.job, **{**standard, **encoded, **ended, **values})

    def delivery(self, job: int, state: DeliveryState, at: float, *, kind: str = "sr", **values: Any) -> int:
        """Add an object of an analysis and where it stands with the archive."""
        uid = f"2.25.9{next(self._numbers)}"
        item = self.insert(
            schema.result_object, job_id=job, kind=kind, sop_instance_uid=uid, path=f"{uid}.dcm", created_at=at
        )
        there = {DeliveryState.STORED, DeliveryState.DELIVERED, DeliveryState.COMMITTED, DeliveryState.RETIRED}
        over = state not in {DeliveryState.PENDING, DeliveryState.STORED, DeliveryState.WAITING}
        standard = {
            "job_id": job,
            "object_id": item,
            "destination": "pacs",
            "state": state.value,
            "attempts": int(state is not DeliveryState.WAITING),
            "next_attempt_at": at,
            "created_at": at,
            "stored_at": at + 5 if state in there else None,
            "ended_at": at + 9 if over else None,
        }
        return self.insert(schema.delivery, **{**standard, **values})


def fill(engine: sa.Engine, now: float, *, name_path: str = "") -> None:
    """Add a study in every state; the oldest an hour old, each a minute after the other.

    Parameters
    ----------
    name_path
        The first image of the urgent study, in the data folder.
    """
    write = LedgerWriter(engine)
    ages = itertools.count(60, -1)

    def began() -> float:
        return now - 60 * next(ages)

    _waiting(write, began)
    _analysed(write, began, name_path)
    _delivered(write, began)
    with engine.begin() as connection:  # a node that ran has closed it
        connection.execute(sa.delete(schema.circuit))
    write.insert(schema.circuit, destination="pacs", state="open", failures=3, probes=2, due_at=now + 60)
    for number, reason in enumerate(("conflict", "truncated", "truncated", "identity")):
        write.insert(
            schema.quarantine,
            key=str(number),
            reason=reason,
            message="m",
            peer="modality",
            study_instance_uid="2.25.1",
            size_bytes=1,
            offset=0,
            flags=[],
            times=1,
            first_at=now - 900,
            last_at=now - 600,
        )


def _waiting(write: LedgerWriter, began: Any) -> None:
    """Add studies that are on their way in."""
    write.study(began(), unclosed=2)
    at = began()
    write.close(write.study(at), at + 3, routed=False)
    at = began()
    write.close(write.study(at), at + 3, reason="quiet", rule="")
    for values in ({}, {"starts": 1}, {"starts": 2, "crashes": 1}):
        at = began()
        study = write.study(at)
        write.job(study, write.close(study, at + 3), at, JobState.QUEUED, **values)


def _analysed(write: LedgerWriter, began: Any, name_path: str) -> None:
    """Add studies with each outcome, one of them urgent."""
    at = began()
    study = write.study(at)
    write.job(study, write.close(study, at + 3), at, JobState.ANALYSED)
    at = began()
    study = write.study(at, patient="KENSHIN-0042", path=name_path)
    found = {"outcome": Outcome.FINDINGS.value, "headline": "Profusion 2/1, small opacities p/q", "triage_score": 0.93}
    job = write.job(study, write.close(study, at + 3), at, JobState.FINISHED, priority="urgent", **found)
    for kind in ("sr", "heatmap"):
        write.delivery(job, DeliveryState.COMMITTED, at + 25, kind=kind, proof="report")
    write.insert(
        schema.commitment,
        job_id=job,
        destination="pacs",
        transaction_uid=f"2.25.7{job}",
        delivery_ids=[],
        state=CommitmentState.ANSWERED.value,
        number=1,
        created_at=at + 31,
        asked_at=at + 31,
        due_at=at + 600,
        ended_at=at + 33,
    )
    write.insert(
        schema.notification,
        job_id=job,
        notifier="ris",
        state=NotificationState.SENT.value,
        attempts=1,
        next_attempt_at=at,
        created_at=at + 20,
        ended_at=at + 21,
    )
    refused = {"outcome": Outcome.NOT_ANALYSED.value, "headline": "NOT ANALYSED", "triage_score": None}
    at = began()
    study = write.study(at)
    job = write.job(study, write.close(study, at + 3), at, JobState.FINISHED, refusals=[REFUSAL], **refused)
    write.delivery(job, DeliveryState.DELIVERED, at + 25)
    at = began()
    study = write.study(at)
    job = write.job(study, write.close(study, at + 3), at, JobState.FAILED, encode_failures=5)
    at = began()
    study = write.study(at)
    revision = write.close(study, at + 3, reason="settled")
    write.job(study, revision, at, JobState.SUPERSEDED)
    partly = {"outcome": Outcome.PARTLY_ANALYSED.value, "headline": "Partly analysed"}
    job = write.job(study, revision, at + 30, JobState.ENCODED, result_revision=2, refusals=[REFUSAL], **partly)
    write.delivery(job, DeliveryState.STORED, at + 55)
    write.insert(
        schema.held_object,
        job_id=job,
        kind="seg",
        sop_instance_uid="2.25.88",
        path="h.dcm",
        destinations=["pacs"],
        problems=["(0062,0002) 'Segment Sequence' is empty; Type 1"],
        held_at=at + 55,
    )


def _delivered(write: LedgerWriter, began: Any) -> None:
    """Add studies whose object is in each state that a destination may leave it in."""
    answers: dict[DeliveryState, dict[str, Any]] = {
        DeliveryState.PENDING: {"attempts": 3, "last_status": 0xA700, "last_error": "", "parked": 0},
        DeliveryState.REFUSED: {"attempts": 3, "last_status": 0x0122},
        DeliveryState.DECLINED: {"last_status": 0x0122},
        DeliveryState.HELD: {},
        DeliveryState.RETIRED: {},
        DeliveryState.ABANDONED: {"last_error": "cannot connect to 10.0.0.5:4242: timed out"},
        DeliveryState.UNNEEDED: {},
        DeliveryState.WAITING: {},
    }
    for state, values in answers.items():
        at = began()
        study = write.study(at)
        open_states = {DeliveryState.PENDING, DeliveryState.WAITING}
        ended = JobState.ENCODED if state in open_states else JobState.FINISHED
        job = write.job(study, write.close(study, at + 3), at, ended)
        write.delivery(job, state, at + 25, **values)


def fill_years(engine: sa.Engine, studies: int, *, now: float, gap_seconds: float = 60.0) -> None:
    """Add so many studies as a busy site leaves them, the newest at `now`.

    Each has a revision, an analysis and three objects; one in 40 is urgent; the last 50 are on their way.
    """
    chunk = 2_000
    with engine.begin() as connection:
        for first in range(1, studies + 1, chunk):
            numbers = range(first, min(first + chunk, studies + 1))
            for table, rows in _rows(numbers, studies, now=now, gap_seconds=gap_seconds).items():
                connection.execute(sa.insert(schema.metadata.tables[table]), rows)
        if engine.dialect.name == "postgresql":  # whose autovacuum does; on SQLite nobody does
            connection.exec_driver_sql("ANALYZE")


def _rows(numbers: range, studies: int, *, now: float, gap_seconds: float) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("study", "revision", "instance", "job", "result_object", "delivery")
    }
    for number in numbers:
        at = now - (studies - number) * gap_seconds
        done = number <= studies - 50
        found["study"].append(_study_row(number, at))
        found["revision"].append(_revision_row(number, at))
        found["instance"] += [_instance_row(number, at, image) for image in range(4)]
        found["job"].append(_job_row(number, at, done=done))
        for kind in range(3) if done else ():
            found["result_object"].append(_object_row(number, at, kind))
            found["delivery"].append(_delivery_row(number, at, kind))
    return found


def _study_row(number: int, at: float) -> dict[str, Any]:
    times = {"first_seen_at": at, "last_seen_at": at + 4, "evaluated_at": at + 5}
    return {"id": number, "study_instance_uid": f"2.25.{number}", **times, "revision": 1, "unclosed": 0}


def _revision_row(number: int, at: float) -> dict[str, Any]:
    return {
        "id": number,
        "study_id": number,
        "number": 1,
        "reason": "complete",
        "instance_count": 4,
        "closed_at": at + 5,
        "routed_at": at + 5,
        "rules": ["mammography"],
        "pipelines": ["mammography"],
    }


def _instance_row(number: int, at: float, image: int) -> dict[str, Any]:
    attributes = {f"Attribute{index}": "a value of usual length" for index in range(20)}
    return {
        "study_id": number,
        "sop_instance_uid": f"2.25.{number}.{image}",
        "path": f"instances/{number % 256:02x}/{number}-{image}.dcm",
        "sha256": DIGEST,
        "size_bytes": 10_000_000,
        "peer": "pacs",
        "calling_ae": "PACS",
        "received_at": at + image,
        "attributes": {"PatientID": f"P{number}", "AccessionNumber": f"A{number}", **attributes},
    }


def _job_row(number: int, at: float, *, done: bool) -> dict[str, Any]:
    ended = {"analysed_at": at + 20, "encoded_at": at + 25, "ended_at": at + 40}
    return {
        "id": number,
        "key": f"{number:032x}",
        "study_id": number,
        "revision_id": number,
        "result_revision": 1,
        "pipeline": "mammography",
        "patient_key": f"{number:064x}",
        "study_date": "20261129",
        **PACKAGE,
        "priority": "routine" if number % 40 else "urgent",
        "state": JobState.FINISHED.value if done else JobState.QUEUED.value,
        "inputs": [f"2.25.{number}.{image}" for image in range(4)],
        "flags": [],
        "refusals": [],
        "outcome": Outcome.NO_FINDINGS.value if done else "",
        "headline": "No findings" if done else "",
        "triage_score": 0.2 if done else None,
        "received_at": at + 3,
        "created_at": at + 5,
        **{name: value if done else None for name, value in ended.items()},
    }


def _object_row(number: int, at: float, kind: int) -> dict[str, Any]:
    return {
        "id": 3 * number + kind,
        "job_id": number,
        "kind": ("sr", "heatmap", "gsps")[kind],
        "sop_instance_uid": f"2.25.{number}.9{kind}",
        "path": f"results/{number}/{kind}.dcm",
        "created_at": at + 25,
    }


def _delivery_row(number: int, at: float, kind: int) -> dict[str, Any]:
    return {
        "job_id": number,
        "object_id": 3 * number + kind,
        "destination": "pacs",
        "state": DeliveryState.COMMITTED.value,
        "attempts": 1,
        "next_attempt_at": at + 25,
        "created_at": at + 25,
        "stored_at": at + 30,
        "ended_at": at + 40,
        "proof": "report",
    }


def data_folder(root: Path) -> Path:
    """Return the data folder below a test's folder; made when it is missing."""
    folder = root / "data"
    folder.mkdir(exist_ok=True)
    return folder
