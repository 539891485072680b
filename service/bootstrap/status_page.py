# SPDX-License-Identifier: Apache-2.0
"""The status page from the settings: what it reads of ledger, packages and health, who may see whose a study is."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from service import __version__
from service.bootstrap.packages import ACTIVE
from service.bootstrap.serving import Crew, Serving
from service.dicom.header import read_attributes
from service.domain.errors import DicomStructureError
from service.domain.event import Event, GoldenStudiesTested, GoldenTested
from service.observability.health import WELL, Health
from service.ports import Observer
from service.ports.pages import Pages
from service.ports.status_page import GoldenState, ModelState, Readiness, View
from service.results.words.wording import WORDS
from service.settings import Settings
from service.storage.drift import SqlDriftReader
from service.storage.reading import reading_engine
from service.storage.status_page import SqlStatusLedger
from service.transport.tls import TlsServer
from service.web.access import Access
from service.web.site import StatusSite
from service.web.sources import Sources
from service.workflow.context import FlowParts

READINESS_SECONDS = 5.0
"""So long is what the checks said shown again: some of them count the ledger's rows."""
FAILED = "failed"


class GoldenMemory:
    """An `Observer` that remembers how each package's last golden test went, and when."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last: dict[tuple[str, str], tuple[GoldenState, float]] = {}

    def __call__(self, event: Event, /) -> None:
        """Note a golden test; a study that could not be run to its end says nothing."""
        if isinstance(event, GoldenTested | GoldenStudiesTested) and event.result in {"passed", FAILED}:
            state = GoldenState.FAILED if event.result == FAILED else GoldenState.PASSED
            self._last[event.package, event.version] = (state, self._now())

    def last(self, package: str, version: str) -> tuple[GoldenState, float | None]:
        """Return how the last test of a package went; unknown before the first."""
        return self._last.get((package, version), (GoldenState.UNKNOWN, None))


@contextmanager
def status_pages(
    parts: FlowParts, *, serving: Serving, health: Health, golden: GoldenMemory, pipelines: Sequence[str]
) -> Iterator[Pages]:
    """Lend the pages under /status; none where config.yaml does not ask for them.

    `pipelines` are those that this process is to have packages of.
    """
    if not parts.settings.http.status_page:
        yield lambda _request: None
        return
    settings = parts.settings
    engine = reading_engine(settings.storage)
    sources = Sources(
        ledger=SqlStatusLedger(engine, root=settings.storage.folder),
        models=lambda: model_states(serving, golden, configured=pipelines),
        readiness=_remembered(lambda: _readiness(health)),
        speech=WORDS,
        study_key=parts.study_key,
        patient_name=patient_name,
        record=lambda views: _record(parts, views),
        now=parts.now,
        version=__version__,
        ae_title=settings.node.ae_title,
        destinations=tuple(entry.name for entry in settings.destinations),
        urgent_rules=urgent_rules(settings),
        drift=SqlDriftReader(engine) if settings.drift.enabled else None,
    )
    try:
        yield StatusSite(sources, Access(settings.http.viewers, observer=parts.observer))
    finally:
        engine.dispose()


def http_tls(settings: Settings, observer: Observer) -> TlsServer | None:
    """Return the TLS of the HTTP port."""
    return TlsServer(settings.http.tls, observer=observer, name="http") if settings.http.tls else None


def urgent_rules(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return which rules make a study urgent, each with a pipeline of it."""
    urgent = (rule for rule in settings.rules if rule.priority == "urgent")
    return frozenset((rule.name, pipeline) for rule in urgent for pipeline in rule.pipelines)


def patient_name(path: Path) -> str:
    """Return (0010,0010) Patient's Name of a stored image for people; "" where it is not there any more.

    Its parts are separated by blanks, its writings (PS3.5 6.2.1: alphabetic, ideographic, phonetic) by " / ".
    """
    try:
        value = read_attributes(path, ("PatientName",)).get("PatientName")
    except (DicomStructureError, OSError):
        return ""
    writings = (" ".join(part for part in text.split("^") if part) for text in str(value or "").split("="))
    return " / ".join(text for text in writings if text)


def model_states(serving: Serving, golden: GoldenMemory, *, configured: Sequence[str]) -> tuple[ModelState, ...]:
    """Return the packages at work, active ones first, and the pipelines that have none."""
    active, out = serving.active(), serving.out_of_service()
    found = [
        _model(crew, key, golden, out)
        for crew in serving.at_work()
        for key, package in crew.packages.items()
        if crew.role != ACTIVE or active.get(key) is package
    ]
    without = [
        ModelState(
            pipeline=name,
            name="-",
            version="",
            status="",
            sha256="",
            role=ACTIVE,
            problem="no usable package; run 'dokuei models check'",
        )
        for name in configured
        if name not in active
    ]
    return tuple(sorted([*found, *without], key=lambda item: (item.role != ACTIVE, item.pipeline, item.name)))


def _model(crew: Crew, key: str, golden: GoldenMemory, out: Mapping[str, str]) -> ModelState:
    identity, report = crew.packages[key].identity, crew.reports.get(key)
    state, at = golden.last(identity.name, identity.version)
    problem = out.get(identity.sha256, "") or (report.error if report else "")
    return ModelState(
        pipeline=key.partition("/")[0],
        name=identity.name,
        version=identity.version,
        status=identity.status.value,
        sha256=identity.sha256,
        role=crew.role,
        provider=report.device if report else "",
        golden=GoldenState.FAILED if problem else state,
        golden_at=at,
        problem=problem,
    )


def _record(parts: FlowParts, views: Sequence[View]) -> None:
    with parts.ledger.transaction() as transaction:
        parts.audit.viewed(transaction, views, at=parts.now())


def _readiness(health: Health) -> Readiness:
    _, checks = health.ready()
    return Readiness(problems={name: text for name, text in checks.items() if text != WELL}, notes=health.notes())


def _remembered(ask: Callable[[], Readiness]) -> Callable[[], Readiness]:
    """Return what asks again only after a while."""
    lock = threading.Lock()
    last: list[tuple[float, Readiness]] = []

    def answer() -> Readiness:
        with lock:
            if not last or time.monotonic() - last[0][0] > READINESS_SECONDS:
                last[:] = [(time.monotonic(), ask())]
            return last[0][1]

    return answer
