# SPDX-License-Identifier: Apache-2.0
"""Fixtures that give a test a running peer and take it away again."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.dcmtk import StoreScpProgram
from harness.markers import check
from harness.node import NodeProgram
from harness.order import in_turns, is_long
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.postgres import PostgresServer, postgres_program
from models.phantoms.samples import SAMPLES, draw_sample

PROGRAMS = (
    "Orthanc",
    "storescu",
    "dcmsend",
    "echoscu",
    "storescp",
    "dciodvfy",
    "dcentvfy",
    "dsrdump",
    "dsr2html",
    "pdftotext",
    "qpdf",
)

StartOrthanc = Callable[..., Orthanc]


@pytest.hookimpl(trylast=True)  # of what was not deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long tests begin first; skip tests of real peers, naming what is missing."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = in_turns(items, is_long, workers=workers)
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"PEERS MISSING: {', '.join(missing)}; run tests/install_peers.sh")
    for item in items:
        if item.get_closest_marker("peers"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _no_patient_in_a_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test makes our code log may name no patient; nodes of their own are searched when they stop."""
    yield
    for record in caplog.get_records("call"):
        if record.name.startswith(("service", "pynetdicom")):
            check(record.getMessage(), f"a log record of {record.name}")


@pytest.fixture
def start_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartOrthanc]:
    """Return a function that starts an Orthanc; keyword arguments are Orthanc's own."""
    started: list[Orthanc] = []

    def start(**arguments: Any) -> Orthanc:
        orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), **arguments)
        started.append(orthanc)
        orthanc.start()
        return orthanc

    yield start
    for orthanc in started:
        orthanc.stop()


@pytest.fixture
def orthanc(start_orthanc: StartOrthanc) -> Orthanc:
    """An Orthanc that accepts everything that it understands."""
    return start_orthanc()


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[StoreScpProgram]:
    """DCMTK's storescp with a folder of its own."""
    program = StoreScpProgram(tmp_path / "storescp")
    program.start()
    yield program
    program.stop()


@pytest.fixture
def start_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProgram]]:
    """Return a function that starts a node which delivers to an Orthanc; `changes` are sections of config.yaml."""
    started: list[NodeProgram] = []

    def start(pacs: Orthanc, *, database_url: str | None = None, **changes: Any) -> NodeProgram:
        address = (pacs.ae_title, pacs.dicom_port)
        folder = tmp_path_factory.mktemp("node")
        node = NodeProgram(folder, pacs=address, changes=changes, database_url=database_url)
        started.append(node)
        node.start()
        return node

    yield start
    for node in started:
        node.stop()


@pytest.fixture(scope="session")
def phantom_study(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    """Return a function from the name of a sample study to its folder; each is drawn once for all workers."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "phantoms"
    place.mkdir(exist_ok=True)

    def drawn(name: str) -> Path:
        (sample,) = (sample for sample in SAMPLES if sample.name == name)
        with (place / f"{name}.lock").open("w") as lock:  # whoever wants another study does not wait for this one
            fcntl.flock(lock, fcntl.LOCK_EX)
            draw_sample(sample, place)
        return place / name

    return drawn


@pytest.fixture(scope="session")
def phantom_studies(phantom_study: PhantomStudy) -> tuple[Path, ...]:
    """The folders of all sample studies of the demo; a test that needs one of them asks `phantom_study` for it."""
    return tuple(phantom_study(sample.name) for sample in SAMPLES)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run; each test asks it for a database of its own."""
    if postgres_program("pg_ctl") is None:
        pytest.skip("PEERS MISSING: postgresql; run tests/install_peers.sh")
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Run the test on both stores: None stands for SQLite."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()
