# SPDX-License-Identifier: Apache-2.0
"""How long the status page takes on a ledger of years, beside `dokuei status` and plain SQL; what it costs intake."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import sqlalchemy as sa

from harness.ledgers import fill_years
from harness.status_page import Recorded, make_site, storage_of
from service.domain.instance import Instance
from service.ports.ledger import LedgerTransaction
from service.ports.pages import Request
from service.settings import ProxySettings, ViewerSettings
from service.storage import SqlLedger, create_database, migrate
from service.storage.statistics import SqlStatistics
from service.web.pace import Turnstile
from service.web.site import StatusSite
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Measurement, alone, compared, interleaved

STUDIES = (10_000, 100_000)
PAGE, STATUS, SQL = "the page", "dokuei status", "plain SQL"
WRITING_SECONDS = 3.0
VIEWERS = ViewerSettings(proxy=ProxySettings.model_validate({"address": "127.0.0.1"}))
SIGNED_IN = {"x-remote-user": ("reader",)}
PLAIN_SQL = sa.text(
    "SELECT study.id, study.first_seen_at, job.state, job.outcome, job.headline, job.priority, "
    "(SELECT count(*) FROM delivery WHERE delivery.job_id = job.id AND delivery.state = 'committed') "
    "FROM study JOIN job ON job.study_id = study.id WHERE study.first_seen_at >= :since "
    "ORDER BY job.priority = 'urgent' DESC, study.first_seen_at LIMIT 50"
)
"""The same list as somebody would write it down, without bounds on what it looks at."""


def measure_status_page(bench: Bench) -> Iterator[Measurement]:
    """Measure the pages at 10,000 and 100,000 studies."""
    for studies in STUDIES[:1] if bench.quick else STUDIES:
        folder = bench.disk / f"page-{studies}"
        folder.mkdir()
        writing = create_database(folder)
        migrate(writing)
        fill_years(writing, studies, now=time.time())
        storage, reading = storage_of(folder, None)
        site = make_site(storage, reading, Recorded(), VIEWERS, now=time.time)
        yield from _pages(bench, site, writing, studies)
        yield from _intake(bench, site, writing, folder, studies)
        reading.dispose()
        writing.dispose()
        bench.advance(f"page at {studies} studies")


def _pages(bench: Bench, site: StatusSite, writing: sa.Engine, studies: int) -> Iterator[Measurement]:
    statistics = SqlStatistics(writing)
    since = time.time() - 86_400

    def plain() -> None:
        with writing.connect() as connection:
            connection.execute(PLAIN_SQL, {"since": since}).all()

    runs = {
        PAGE: _timed(lambda: _ask(site, "/status/")),
        STATUS: _timed(lambda: (statistics.counts(), statistics.studies(limit=50), statistics.classes())),
        SQL: _timed(plain),
    }
    yield from compared(f"list of {studies} studies", "s", interleaved(runs, repeats=bench.repeats), ours=PAGE)
    others = {
        "a month's list": lambda: _ask(site, "/status/", "hours=744"),
        "list with identity": lambda: _ask(site, "/status/", signed_in=True),
        "one study": lambda: _ask(site, f"/status/study/{studies // 2}"),
    }
    for name, run in others.items():
        values = interleaved({name: _timed(run)}, repeats=bench.repeats)[name]
        yield alone(f"{name}, of {studies} studies", "s", values)


def _intake(bench: Bench, site: StatusSite, writing: sa.Engine, folder: Path, studies: int) -> Iterator[Measurement]:
    """Measure what enters the ledger alone, and while somebody asks for the page as fast as it is answered."""
    limited = StatusSite(site._sources, site._access, turnstile=Turnstile())
    ledger = SqlLedger(writing, root=folder, enqueue=lambda _connection, _task: None)
    numbers = iter(range(10**9))

    def enter() -> float:
        ends, count = time.monotonic() + WRITING_SECONDS, 0
        while time.monotonic() < ends:
            ledger.together(partial(_add, _image(folder, next(numbers))))
            count += 1
        return count / WRITING_SECONDS

    def beside_a_viewer() -> float:
        stop = threading.Event()
        viewer = threading.Thread(target=_look, args=(limited, stop))
        viewer.start()
        try:
            return enter()
        finally:
            stop.set()
            viewer.join()

    found = interleaved({"beside a viewer": beside_a_viewer, "alone": enter}, repeats=bench.repeats)
    yield from compared(f"instances into a ledger of {studies} studies", "/s", found, ours="beside a viewer")
    ledger.close()


def _add(image: Instance, transaction: LedgerTransaction) -> None:
    transaction.studies.add_instance(image, peer="ct", at=time.time())


def _look(site: StatusSite, stop: threading.Event) -> None:
    while not stop.is_set():
        _ask(site, "/status/")
        time.sleep(0.001)


def _timed(run: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return timed


def _ask(site: StatusSite, path: str, query: str = "", *, signed_in: bool = False) -> None:
    headers = SIGNED_IN if signed_in else {}
    page = site(Request(path=path, query=query, headers=headers, address="127.0.0.1"))
    if page is None or page.status not in {200, 503}:
        raise RuntimeError(f"{path} was not answered as it should be")


def _image(folder: Path, number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"2.25.77{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_instance_uid=f"2.25.78{number // 100}",
        series_instance_uid="2.25.79",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=folder / f"{number}.dcm",
        sha256="ab" * 32,
        size_bytes=500_000,
    )
