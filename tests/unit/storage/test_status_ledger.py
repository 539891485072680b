# SPDX-License-Identifier: Apache-2.0
"""The ledger as the status page reads it: in order, in bounded queries, and without any way to write."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from harness.ledgers import EVERY_STATE, LedgerWriter, data_folder, fill, fill_years
from harness.status_page import NOW, storage_of
from service.domain.entry import DeliveryState, JobState
from service.domain.errors import StorageError
from service.domain.result import Priority
from service.ports.status_page import Listing, Order, Position, WorkItem
from service.storage import create_database, migrate, reading, schema, status_page, worklist
from service.storage.page_counts import page_counts
from service.storage.statistics import SqlStatistics
from service.storage.status_page import SqlStatusLedger

DAY = 86_400


@dataclass
class Place:
    """A ledger, how tests write it, and how the page reads it."""

    writing: sa.Engine
    reading: sa.Engine
    ledger: SqlStatusLedger


@pytest.fixture
def place(tmp_path: Path, database_url: str | None) -> Iterator[Place]:
    folder = data_folder(tmp_path)
    writing = create_database(folder, url=database_url)
    migrate(writing)
    _, reading_engine = storage_of(folder, database_url)
    yield Place(writing, reading_engine, SqlStatusLedger(reading_engine, root=folder))
    reading_engine.dispose()
    writing.dispose()


def every_page(place: Place, listing: Listing) -> list[WorkItem]:
    """Follow the list from page to page."""
    found: list[WorkItem] = []
    for _ in range(100):
        page = place.ledger.worklist(listing)
        found += page.items
        if page.next is None:
            return found
        listing = replace(listing, after=page.next)
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_each_study_is_listed_once_urgent_first_then_oldest(place: Place, limit: int) -> None:
    fill_years(place.writing, 100, now=NOW)
    found = every_page(place, Listing(since=NOW - DAY, limit=limit))
    assert [item.study_id for item in found] == [40, 80, *(n for n in range(1, 101) if n % 40)]
    assert [item.study_id for item in found if item.urgent] == [40, 80]


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_newest_first_lists_all_whatever_the_time(place: Place, limit: int) -> None:
    fill_years(place.writing, 100, now=NOW)
    found = every_page(place, Listing(since=NOW, order=Order.NEWEST, limit=limit))
    assert [item.study_id for item in found] == list(range(100, 0, -1))


def test_the_window_ends_where_it_is_asked_to(place: Place) -> None:
    fill_years(place.writing, 100, now=NOW)
    page = place.ledger.worklist(Listing(since=NOW - 9.5 * 60))
    assert ([item.study_id for item in page.items], page.cut) == (list(range(91, 101)), False)


def test_triage_order_goes_back_only_so_far_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "WINDOW_STUDIES", 30)
    fill_years(place.writing, 100, now=NOW)
    page = place.ledger.worklist(Listing(since=0.0))
    assert (page.items[0].study_id, len(page.items), page.cut) == (80, 30, True)


def test_an_urgent_analysis_keeps_a_study_urgent(place: Place) -> None:
    write = LedgerWriter(place.writing)
    study = write.study(NOW)
    revision = write.close(study, NOW)
    write.job(study, revision, NOW, JobState.FINISHED, priority="urgent")
    write.job(study, revision, NOW, JobState.FINISHED, result_revision=2)
    (item,) = place.ledger.worklist(Listing(since=NOW)).items
    assert item.urgent
    assert [job.result_revision for job in item.analyses] == [2], "the newest replaces the earlier one"
    assert item.analyses[0].priority is Priority.ROUTINE


def test_identity_only_where_it_is_asked_for(place: Place) -> None:
    fill(place.writing, NOW)
    assert {item.identity for item in place.ledger.worklist(Listing(since=NOW - DAY)).items} == {None}
    shown = place.ledger.worklist(Listing(since=NOW - DAY, with_identity=True)).items
    assert shown[0].identity is not None
    assert (shown[0].identity.patient_id, shown[0].identity.birth_date) == ("KENSHIN-0042", "19500102")


def test_a_story_has_everything_that_happened(place: Place) -> None:
    fill(place.writing, NOW)
    stories = [place.ledger.story(number, with_identity=False) for number in range(1, EVERY_STATE + 1)]
    assert None not in stories
    told = [story for story in stories if story is not None]
    assert {row.state for story in told for row in story.deliveries} == set(DeliveryState)
    assert {job.state for story in told for job in story.study.analyses} == set(JobState)
    urgent = told[7]
    assert urgent.study.urgent
    assert [(item.peer, item.count) for item in urgent.arrivals] == [("modality", 2)]
    assert len(urgent.commitments) == len(urgent.notifications) == 1
    assert [item.reason for item in told[0].set_aside] == ["truncated", "conflict", "identity"]
    assert place.ledger.story(EVERY_STATE + 1, with_identity=False) is None


def test_the_quarantine_by_reason(place: Place) -> None:
    fill(place.writing, NOW)
    assert [(item.reason, item.count) for item in place.ledger.quarantine()] == [
        ("truncated", 2),
        ("conflict", 1),
        ("identity", 1),
    ]


@pytest.mark.parametrize("statement", ["DELETE FROM study", "UPDATE job SET headline = 'x'", "CREATE TABLE t (x int)"])
def test_the_page_cannot_write(place: Place, statement: str) -> None:
    fill_years(place.writing, 60, now=NOW)
    with place.reading.connect() as connection, pytest.raises(DBAPIError, match=r"(?i)read.?only"):
        connection.exec_driver_sql(statement)


def test_a_statement_that_takes_too_long_is_broken_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(
        reading, "SESSION", ("SET default_transaction_read_only = on", "SET statement_timeout = '0.2s'")
    )
    endless = sa.text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")
    started = time.monotonic()
    with pytest.raises(StorageError, match="cannot be read"), reading.reading(place.reading) as connection:
        connection.execute(endless)
    assert time.monotonic() - started < 5


def test_reading_neither_waits_for_a_writer_nor_holds_it_up(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    writing = create_database(folder)
    migrate(writing)
    fill(writing, NOW)
    _, engine = storage_of(folder, None)
    with sqlite3.connect(folder / "dokuei.db", timeout=0.1, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(SqlStatusLedger(engine, root=folder).worklist(Listing(since=0.0)).items) == EVERY_STATE
        with reading.reading(engine) as connection:
            connection.execute(sa.select(schema.study)).all()
            writer.execute("UPDATE study SET unclosed = 0")
            writer.execute("COMMIT")
    writer.close()
    engine.dispose()
    writing.dispose()


def test_counts_are_not_counted_anew_for_each_viewer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place.writing, NOW)
    asked: list[int] = []
    monkeypatch.setattr(status_page, "page_counts", lambda connection: asked.append(1) or page_counts(connection))
    first = place.ledger.counts()
    assert place.ledger.counts() is first
    assert len(asked) == 1
    assert first.deliveries_refused == {"pacs": 1}


def test_the_page_counts_what_the_status_command_counts(place: Place) -> None:
    fill(place.writing, NOW)
    shown, counted = place.ledger.counts(), SqlStatistics(place.writing).counts()
    names = {field.name for field in fields(shown)} - {
        "pending", "oldest_received_at", "audit_pending", "quarantined", "quarantined_bytes"
    }  # fmt: skip
    assert {name: getattr(shown, name) for name in names} == {name: getattr(counted, name) for name in names}


def test_positions_beyond_the_end_are_empty_pages(place: Place) -> None:
    fill(place.writing, NOW)
    for urgent in (True, False):
        page = place.ledger.worklist(Listing(since=0.0, after=Position(urgent=urgent, study_id=2**31 - 1)))
        assert page.next is None
        assert len(page.items) == (EVERY_STATE - 1 if urgent else 0)


def test_the_status_command_lists_the_newest_analysis_of_each_pipeline(place: Place) -> None:
    fill(place.writing, NOW)
    rows = SqlStatistics(place.writing).studies(limit=100)
    assert len(rows) == EVERY_STATE, "a replaced analysis is no row of its own"
    assert rows[0].received_at > rows[-1].received_at
    assert len(SqlStatistics(place.writing).studies(limit=3)) == 3
