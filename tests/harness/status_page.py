# SPDX-License-Identifier: Apache-2.0
"""The status page over a ledger that was filled by hand, served on real ports as the node does."""

import base64
import http.client
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from harness.authority import Authority
from service.bootstrap.status_page import patient_name
from service.domain.event import Event
from service.domain.study import study_key
from service.observability.health import Health
from service.observability.http import HttpServer
from service.ports.drift import DriftMode, DriftStatus
from service.ports.status_page import (
    GoldenState,
    ModelState,
    Readiness,
    View,
)
from service.results.words.wording import WORDS
from service.settings import HttpSettings, StorageSettings, TlsServerSettings, ViewerSettings
from service.storage.reading import reading_engine
from service.storage.status_page import SqlStatusLedger
from service.transport.tls import TlsServer
from service.web.access import Access
from service.web.pace import Turnstile
from service.web.site import StatusSite
from service.web.sources import Sources

NOW = 1_795_953_600.0
"""2026-11-29 12:00 UTC, when the pages of tests are made."""
PASSWORD = "correct horse battery"  # noqa: S105 - of a viewer of tests
MODELS = (
    ModelState(
        pipeline="pneumoconiosis",
        name="pneumoconiosis-demo",
        version="0.2.0",
        status="demonstration",
        sha256="ab" * 32,
        role="active",
        provider="cpu",
        golden=GoldenState.PASSED,
        golden_at=NOW - 3600,
    ),
    ModelState(
        pipeline="mammography",
        name="mammography-demo",
        version="0.2.0",
        status="demonstration",
        sha256="cd" * 32,
        role="shadow",
        golden=GoldenState.FAILED,
        problem="golden output differs by 0.2",
    ),
)


class TwoDrifts:
    """A monitor that has seen two packages."""

    def statuses(self) -> tuple[DriftStatus, ...]:
        usual = DriftStatus(
            pipeline="pneumoconiosis",
            model="pneumoconiosis-demo",
            version="0.2.0",
            mode=DriftMode.USUAL,
            studies=900,
            since=NOW - 86_400,
            psi={"score": 0.03},
        )
        alarm = DriftStatus(
            pipeline="mammography",
            model="mammography-demo",
            version="0.2.0",
            mode=DriftMode.ALARM,
            studies=120,
            since=NOW - 7200,
            channels=("noise",),
            psi={"score": 0.31},
        )
        return (usual, alarm)


@dataclass
class Place:
    """A filled ledger: its settings, an engine that writes and one that reads."""

    storage: StorageSettings
    writing: sa.Engine
    reading: sa.Engine


@dataclass
class Recorded:
    """What the audit trail and the log were told."""

    views: list[View] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    failure: Exception | None = None

    def record(self, views: Sequence[View]) -> None:
        if self.failure is not None:
            raise self.failure
        self.views += views


def make_site(
    storage: StorageSettings,
    engine: sa.Engine,
    recorded: Recorded,
    viewers: ViewerSettings | None = None,
    *,
    turnstile: Turnstile | None = None,
    **changes: Any,
) -> StatusSite:
    """Return the pages of a ledger."""
    values: dict[str, Any] = {
        "ledger": SqlStatusLedger(engine, root=storage.folder),
        "models": lambda: MODELS,
        "readiness": lambda: Readiness(notes={"inference": "mammography-demo 0.2.0 runs on cpu, not on cuda"}),
        "speech": WORDS,
        "study_key": partial(study_key, site_key=b"k"),
        "patient_name": patient_name,
        "record": recorded.record,
        "now": lambda: NOW,
        "version": "0.1.0",
        "ae_title": "DOKUEI",
        "destinations": ("pacs",),
        **changes,
    }
    access = Access(viewers, observer=recorded.events.append)
    return StatusSite(Sources(**values), access, turnstile=turnstile or Turnstile(per_second=1000, burst=1000))


@dataclass
class Served:
    """The pages on two ports of loopback: plain, and TLS where there is an authority."""

    server: HttpServer
    authority: Authority | None = None

    @property
    def plain(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def secure(self) -> str:
        return f"https://127.0.0.1:{self.server.tls_port}"

    def ask(
        self, path: str, *, method: str = "GET", secure: bool = False, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """Ask for a page."""
        connection: http.client.HTTPConnection
        if secure:
            context = ssl.create_default_context(cafile=self.authority.certificate if self.authority else None)
            context.check_hostname = False
            connection = http.client.HTTPSConnection("127.0.0.1", self.server.tls_port, timeout=20, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text


@contextmanager
def serving(site: Callable[..., Any], *, authority: Authority | None = None) -> Iterator[Served]:
    """Serve pages as the node does."""
    tls = None
    settings = HttpSettings.model_construct(host="127.0.0.1", port=0)
    if authority is not None:
        pair = authority.issue("node.example")
        section = TlsServerSettings(
            port=9443, certificate=pair.certificate, key=pair.key, require_client_certificate=False
        )
        tls = TlsServer(section, observer=lambda _event: None, name="http")
        settings = HttpSettings.model_construct(
            host="127.0.0.1", port=0, tls=TlsServerSettings.model_construct(**{**dict(section), "port": 0})
        )
    server = HttpServer(settings, health=Health(), registry=CollectorRegistry(), pages=site, tls=tls)
    server.start()
    try:
        yield Served(server, authority)
    finally:
        server.stop()


def basic(name: str, password: str) -> str:
    """Return the value of an Authorization header."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def storage_of(folder: Path, url: str | None) -> tuple[StorageSettings, sa.Engine]:
    """Return storage settings and an engine that can only read."""
    storage = StorageSettings(folder=folder, database_url=url)
    return storage, reading_engine(storage)
