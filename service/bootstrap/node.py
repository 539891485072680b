# SPDX-License-Identifier: Apache-2.0
"""The node: builds every part from the settings, starts them in order and stops them in the reverse order."""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Self

from service import __version__
from service.bootstrap.analyst import ChildAnalyst
from service.bootstrap.auditing import audit_trail, auditing
from service.bootstrap.clock import SystemClock
from service.bootstrap.crews import WARM_SECONDS, Crews, Reloader
from service.bootstrap.dicomweb import make_destination
from service.bootstrap.golden_tests import GoldenTests
from service.bootstrap.listening import open_http, open_intakes
from service.bootstrap.observation import WorkObserver
from service.bootstrap.packages import start_problems
from service.bootstrap.serving import Crew, Serving
from service.bootstrap.signals import SignalQueue
from service.bootstrap.status_page import GoldenMemory, status_pages
from service.bootstrap.study_tests import StudyTests
from service.bootstrap.tracing import opened_traces
from service.domain.entry import CircuitState
from service.domain.errors import ConfigurationError, DokueiError, StorageError
from service.domain.event import NodeDraining, NodeStarted, NodeStopping, StageFailed, StorageAudited
from service.domain.study import study_key
from service.engine.dbos_engine import DbosEngine
from service.observability.gpu import open_nvml
from service.observability.health import Health
from service.observability.metrics import Metrics
from service.observability.observer import combine
from service.pipelines import PIPELINES
from service.ports import Observer
from service.settings import DestinationSettings, Settings, settings_digest
from service.storage.database import database_of, migrate
from service.storage.disk_audit import StorageAudit, reconcile_storage
from service.storage.drift import SqlDriftReader
from service.storage.folder import DataFolder, FolderLock, open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger
from service.storage.postgresql import DatabaseLock
from service.storage.space import space_problem
from service.storage.statistics import CIRCUITS, SqlStatistics
from service.transport.store_scu import StoreScu
from service.transport.webhook import Webhook
from service.workflow.alerts import SecurityAlerts
from service.workflow.audit import AuditTrail
from service.workflow.context import FlowParts
from service.workflow.flow import Flow

DRAIN_SECONDS = 30.0
AUDIT_END_SECONDS = 5.0
"""How long a stop waits for the comparison of disk and ledger, which only reads when it has found nothing."""


class Node:
    """A running node; use it as a context manager.

    Parameters
    ----------
    read_again
        Returns the settings as they are in config.yaml by now, for a reload.

    Raises
    ------
    ConfigurationError
        The settings name something that is not there, or the data folder is in use.
    """

    def __init__(self, settings: Settings, log: Observer, *, read_again: Callable[[], Settings] | None = None) -> None:
        problems = start_problems(settings)
        if problems:
            raise ConfigurationError("the node cannot start:\n  " + "\n  ".join(problems))
        self.settings = settings
        self._metrics = Metrics()
        self._alerts = SecurityAlerts()
        audited = () if settings.audit is None else (self._alerts,)
        self._golden = GoldenMemory()
        self._traces = opened_traces(settings.traces, log)
        self._observe = combine(log, self._metrics, self._golden, *audited, *self._traces)
        self._health = Health()
        self._stopping, self._draining = threading.Event(), threading.Event()
        self._intakes: list[Callable[[float], bool]] = []
        self._read_again = read_again or (lambda: settings)
        self.serving = Serving(self._observe)
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        """Start everything; what had started is stopped again when a later part fails."""
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Drain and stop."""
        self._parts.close()

    def wait(self, signals: SignalQueue) -> None:
        """Work until a signal stops it. SIGHUP reads config.yaml again, SIGUSR1 looks for work, SIGUSR2 drains."""
        answers = {signal.SIGHUP: self.reload, signal.SIGUSR1: self._flow.wake, signal.SIGUSR2: self.drain}
        while (number := signals.get()) in answers:
            answers[number]()
        self._observe(NodeStopping(reason=number.name))
        self._stopping.set()

    def drain(self) -> None:
        """Take nothing more in, and go on with what is here; returns at once."""
        if not self._draining.is_set():
            self._draining.set()
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        self._observe(NodeDraining())
        for close in self._intakes:
            close(DRAIN_SECONDS)

    def alive(self) -> bool:
        """Return what /livez says; a node that stops counts as alive until it has ended."""
        return self._stopping.is_set() or self._health.live()[0]

    def reload(self) -> None:
        """Have config.yaml read again, beside the work."""
        self._reloader.ask()

    def _start(self) -> None:
        settings = self.settings
        for traces in self._traces:
            self._parts.callback(traces.close)  # the last to end: it hears of everything
        folder = open_folder(settings.storage.folder)
        self._parts.callback(FolderLock(folder.root).release)
        database = database_of(settings.storage)
        self._parts.callback(database.dispose)
        lock = DatabaseLock(database) if settings.storage.database_url else None  # SQLite has the folder's
        if lock is not None:
            self._parts.callback(lock.release)
            self._health.add_ready("database", lock.problem)
        migrate(database)
        engine = DbosEngine(database)
        ledger = SqlLedger(database, root=folder.root, enqueue=engine.enqueue, check=lock.check if lock else None)
        self._parts.callback(ledger.close)
        trail = audit_trail(settings)
        self._parts.enter_context(auditing(settings, trail, ledger, alerts=self._alerts, observer=self._observe))
        store = FileStore(
            folder, reserve_bytes=settings.storage.reserve_bytes, flush=settings.storage.durability == "durable"
        )
        self._reconcile_storage(partial(reconcile_storage, database, folder, store))
        key = partial(study_key, site_key=site_key(folder.root))
        self._measure(SqlStatistics(database), folder)
        if settings.drift.enabled:
            self._metrics.add_drift_collector(SqlDriftReader(database))
        self._start_serving(ledger)
        self._metrics.add_worker_collector(self.serving.workers)
        self._active = self._metrics.add_association_collector(peer.name for peer in settings.peers)
        parts = self._flow_parts(ledger, store, trail, key=key)
        self._start_http(parts)
        self._start_flow(Flow(parts, engine))
        self._open_intakes(parts)

    def _flow_parts(
        self, ledger: SqlLedger, store: FileStore, trail: AuditTrail, *, key: Callable[[str], str]
    ) -> FlowParts:
        settings = self.settings
        destinations = {
            entry.name: make_destination(entry, ae_title=settings.node.ae_title, observer=self._observe)
            for entry in settings.destinations
        }
        return FlowParts(
            settings=settings,
            clock=SystemClock(),
            observer=self._observe,
            ledger=ledger,
            store=store,
            analyst=ChildAnalyst(self.serving, WorkObserver(self._observe, key, moved=self.serving.moved)),
            pipelines=PIPELINES,
            packages=self.serving.packages,
            shadows=self.serving.shadows,
            destinations=destinations,
            archives={name: scu for name, scu in destinations.items() if isinstance(scu, StoreScu)},
            modalities=self._scus(filter(None, (peer.reports_to() for peer in settings.peers))),
            notifiers={entry.name: Webhook(entry) for entry in settings.webhooks},
            study_key=key,
            audit=trail,
        )

    def _reconcile_storage(self, reconcile: Callable[[], StorageAudit]) -> None:
        """Compare disk and ledger beside the start, which must not wait for millions of files."""

        def run() -> None:
            started = time.monotonic()
            try:
                audit = reconcile()
            except StorageError as error:
                name = type(error).__name__
                self._observe(StageFailed(stage="audit", study_key="", pipeline="", error=name, retryable=True))
                return
            seconds = time.monotonic() - started
            orphans, missing = len(audit.orphans), len(audit.missing)
            self._observe(StorageAudited(files=audit.files, orphans=orphans, missing=missing, seconds=seconds))

        thread = threading.Thread(target=run, name="storage-audit", daemon=True)
        thread.start()
        self._parts.callback(thread.join, AUDIT_END_SECONDS)

    def _scus(self, entries: Iterable[DestinationSettings]) -> dict[str, StoreScu]:
        title = self.settings.node.ae_title
        return {entry.name: StoreScu(entry, ae_title=title, observer=self._observe) for entry in entries}

    def _measure(self, statistics: SqlStatistics, folder: DataFolder) -> None:
        reserve_bytes = self.settings.storage.reserve_bytes
        self._metrics.add_queue_collector(statistics)
        self._metrics.add_storage_collector(folder.root, reserve_bytes)
        self._metrics.add_machine_collectors(open_nvml())
        self._health.add_ready("disk", lambda: space_problem(folder.root, reserve_bytes))
        self._health.add_ready("ledger", lambda: _ledger_problem(statistics))
        self._health.add_ready("packages", self.serving.problem)
        self._health.add_note("inference", self.serving.notes)
        self._health.add_note("destinations", lambda: _held_note(statistics))
        self._health.add_ready("draining", self._draining_problem)

    def _draining_problem(self) -> str:
        if self._stopping.is_set():
            return "the node is stopping"
        return "a person has it drain; restart it to take studies in again" if self._draining.is_set() else ""

    def _start_http(self, parts: FlowParts) -> None:
        pages = self._parts.enter_context(
            status_pages(parts, serving=self.serving, health=self._health, golden=self._golden)
        )
        server = open_http(parts.settings, self._health, self._metrics, pages=pages, observer=self._observe)
        self._parts.callback(server.stop)

    def _open_intakes(self, parts: FlowParts) -> None:
        """Take studies in: the last thing that starts, and the first that stops."""
        for intake in open_intakes(parts):
            self._active.append(intake.active)
            self._intakes.append(intake.drain)
            self._parts.callback(intake.drain, DRAIN_SECONDS)
            dicom_port = intake.port  # the last one is DICOM's
        self._observe(
            NodeStarted(
                version=__version__,
                ae_title=self.settings.node.ae_title,
                port=dicom_port,
                durability=self.settings.storage.durability,
                config_sha256_8=settings_digest(self.settings),
            )
        )

    def wait_warm(self, timeout_seconds: float) -> None:
        """Wait until the child processes have loaded and verified the packages."""
        self._crew.pool.wait_ready(timeout_seconds)

    def _start_serving(self, ledger: SqlLedger) -> None:
        """Start the children; the start does not wait for them."""
        crews = Crews(self.settings, self.serving, self._observe)
        self._crew = crews.start()
        self._parts.callback(self.serving.kill)  # the flow has drained by then: the next start recovers what still runs
        threading.Thread(target=self._tell_if_cold, args=(self._crew,), name="package-report", daemon=True).start()
        tests = GoldenTests(self.serving, hours=self.settings.inference.self_test_hours, observe=self._observe)
        tests.start()
        self._parts.callback(tests.stop)
        studies = StudyTests(self.serving, lambda: crews.settings.inference, observe=self._observe)
        studies.start()
        self._parts.callback(studies.stop)
        self._reloader = Reloader(crews, self.serving, read=self._read_again, ledger=ledger, observe=self._observe)
        self._reloader.start()
        self._parts.callback(self._reloader.stop)

    def _tell_if_cold(self, crew: Crew) -> None:
        """Say that no child process came to life; what its packages came to is told when it does."""
        try:
            crew.pool.wait_ready(WARM_SECONDS)
        except DokueiError as error:
            name = type(error).__name__
            self._observe(StageFailed(stage="packages", study_key="", pipeline="", error=name, retryable=True))

    def _start_flow(self, flow: Flow) -> None:
        self._flow = flow
        flow.start()
        self._health.add_live("flow", flow.problem)
        self._parts.callback(flow.stop, drain_seconds=DRAIN_SECONDS)


def _held_note(statistics: SqlStatistics) -> str:
    held = [name for name, state in statistics.counts().circuits.items() if state == CIRCUITS[CircuitState.HELD]]
    names = ", ".join(map(repr, sorted(held)))
    return f"a person holds the delivery to {names}; `dokuei hold --release` lets it go" if held else ""


def _ledger_problem(statistics: SqlStatistics) -> str:
    try:
        statistics.counts()
    except StorageError as error:
        return str(error)
    return ""
