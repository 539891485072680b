# SPDX-License-Identifier: Apache-2.0
"""The node: builds every part from the settings, starts them in order and stops them in the reverse order."""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Self

from sqlalchemy import Engine

from service import __version__
from service.bootstrap.analyst import ChildAnalyst
from service.bootstrap.auditing import audit_trail, auditing
from service.bootstrap.clock import SystemClock
from service.bootstrap.crews import WARM_SECONDS, Crews, Reloader
from service.bootstrap.dicomweb import make_destination
from service.bootstrap.golden_tests import GoldenTests
from service.bootstrap.listening import open_http, open_intakes
from service.bootstrap.membership import (
    Place,
    member_name,
    one_at_a_time,
    own_settings,
    role_problems,
    take_folder,
    take_ledger,
)
from service.bootstrap.no_analyst import NoAnalyst
from service.bootstrap.observation import WorkObserver
from service.bootstrap.packages import start_problems
from service.bootstrap.serving import Crew, Serving
from service.bootstrap.signals import SignalQueue
from service.bootstrap.status_page import GoldenMemory, status_pages
from service.bootstrap.study_tests import StudyTests
from service.bootstrap.tracing import opened_traces
from service.domain.entry import CircuitState
from service.domain.errors import ConfigurationError, DokueiError, StorageError
from service.domain.event import (
    ConfigurationReloaded,
    NodeDraining,
    NodeStarted,
    NodeStopping,
    StageFailed,
    StorageAudited,
)
from service.domain.member import Role
from service.domain.study import study_key
from service.engine.dbos_engine import DbosEngine
from service.observability.gpu import open_nvml
from service.observability.health import Health
from service.observability.metrics import Metrics
from service.observability.observer import combine
from service.pipelines import PIPELINES
from service.ports import Observer
from service.ports.analyst import Analyst
from service.ports.members import Members
from service.settings import DestinationSettings, Settings, settings_digest
from service.settings.results import Supersession
from service.storage.database import database_of
from service.storage.disk_audit import reconcile_storage
from service.storage.drift import SqlDriftReader
from service.storage.folder import DataFolder, open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger
from service.storage.members import SqlMembers
from service.storage.space import space_problem
from service.storage.statistics import CIRCUITS, SqlStatistics
from service.transport.retrieve_scu import RetrieveScu
from service.transport.store_scu import StoreScu
from service.transport.webhook import Webhook
from service.workflow.alerts import SecurityAlerts
from service.workflow.audit import AuditTrail
from service.workflow.context import FlowParts
from service.workflow.flow import GRACE_SECONDS, Flow

DRAIN_SECONDS = 30.0
AUDIT_END_SECONDS = 5.0
"""How long a stop waits for the comparison of disk and ledger, which only reads when it has found nothing."""


class Node:
    """A running node; use it as a context manager.

    Parameters
    ----------
    read_again
        Returns the settings as they are in config.yaml by now, for a reload.
    role
        What this process does; several members share the ledger where it is not everything.
    name
        Its name among them; host and role where it is None.

    Raises
    ------
    ConfigurationError
        The settings name something that is not there, or the data folder is in use.
    """

    def __init__(
        self,
        settings: Settings,
        log: Observer,
        *,
        read_again: Callable[[], Settings] | None = None,
        role: Role = Role.ALL,
        name: str | None = None,
    ) -> None:
        self._own = own_settings(settings, role)
        problems = [*role_problems(settings, role), *start_problems(self._own)]
        if problems:
            raise ConfigurationError("the node cannot start:\n  " + "\n  ".join(problems))
        self.settings = settings
        self._role, self._name = role, member_name(role, name)
        self._reloader: Reloader | None = None
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
        if self._reloader is not None:
            self._reloader.ask()
            return
        problem = f"a {self._role.value} has no packages, which is what can change while it runs; restart it"
        self._observe(ConfigurationReloaded(result="rejected", problem=problem))

    def _start(self) -> None:
        settings = self.settings
        for traces in self._traces:
            self._parts.callback(traces.close)  # the last to end: it hears of everything
        take_folder(settings, self._role, self._parts)
        database = database_of(settings.storage)
        self._parts.callback(database.dispose)
        place = take_ledger(settings, database, self._parts, role=self._role, name=self._name)
        self._watch(place)
        folder = open_folder(settings.storage.folder, member=place.name)
        members = place.members if place.name else None
        engine = DbosEngine(database, executor_id=place.executor_id, members=members)
        check = place.lock.check if place.lock else None
        ledger = SqlLedger(database, root=folder.root, enqueue=engine.enqueue, check=check)
        self._parts.callback(ledger.close)
        trail = audit_trail(settings)
        leads = place.members.leads
        audit = auditing(settings, trail, ledger, alerts=self._alerts, observer=self._observe, leads=leads)
        self._parts.enter_context(audit)
        store = FileStore(
            folder, reserve_bytes=settings.storage.reserve_bytes, flush=settings.storage.durability == "durable"
        )
        self._reconcile_storage(place, database, folder, store)
        key = partial(study_key, site_key=site_key(folder.root))
        self._measure(SqlStatistics(database), folder, place.members)
        if settings.drift.enabled:
            self._metrics.add_drift_collector(SqlDriftReader(database), members=place.members)
        self._start_serving(ledger)
        self._metrics.add_worker_collector(self.serving.workers)
        self._active = self._metrics.add_association_collector(peer.name for peer in settings.peers)
        parts = self._flow_parts(ledger, store, trail, key=key)
        self._start_http(parts)
        with one_at_a_time(place, database):
            self._start_flow(Flow(parts, engine, role=self._role, members=place.members))
        if isinstance(place.members, SqlMembers):
            place.members.when_one_goes(self._flow.wake)
        self._open_intakes(parts)

    def _watch(self, place: Place) -> None:
        """Let health depend on this process's place among those that share the ledger."""
        if place.lock is not None:
            self._health.add_ready("database", place.lock.problem)
        if isinstance(place.members, SqlMembers):
            self._health.add_live("member", place.members.problem)
            self._health.add_note("members", place.members.notes)

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
            analyst=self._analyst(key),
            pipelines=PIPELINES,
            packages=self.serving.packages,
            shadows=self.serving.shadows,
            destinations=destinations,
            archives={name: scu for name, scu in destinations.items() if isinstance(scu, StoreScu)},
            prior_source=self._prior_source(),
            modalities=self._scus(filter(None, (peer.reports_to() for peer in settings.peers))),
            notifiers={entry.name: Webhook(entry) for entry in settings.webhooks},
            study_key=key,
            audit=trail,
        )

    def _analyst(self, key: Callable[[str], str]) -> Analyst:
        if not self._has_children:
            return NoAnalyst(f"a {self._role.value}")
        return ChildAnalyst(self.serving, WorkObserver(self._observe, key, moved=self.serving.moved))

    @property
    def _has_children(self) -> bool:
        """Whether this process analyses, or writes notes on replaced results for destinations that want them."""
        rejects = any(item.supersede is Supersession.REJECT for item in self.settings.destinations)
        return self._role.analyses or (self._role.sends and rejects)

    def _reconcile_storage(self, place: Place, database: Engine, folder: DataFolder, store: FileStore) -> None:
        """Compare disk and ledger beside the start, which must not wait for millions of files; one member does."""
        if not place.members.leads():
            store.end_of_audit()
            return
        grace_seconds = GRACE_SECONDS if place.name else 0.0
        reconcile = partial(reconcile_storage, database, folder, store, grace_seconds=grace_seconds)

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

    def _prior_source(self) -> RetrieveScu | None:
        """Return the archive that older studies are fetched from."""
        settings = self.settings
        source = settings.priors.source if settings.priors is not None else None
        entries = (entry for entry in settings.destinations if entry.name == source)
        title = settings.node.ae_title
        return next((RetrieveScu(entry, ae_title=title, observer=self._observe) for entry in entries), None)

    def _measure(self, statistics: SqlStatistics, folder: DataFolder, members: Members) -> None:
        reserve_bytes = self.settings.storage.reserve_bytes
        self._metrics.add_queue_collector(statistics, members=members)
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
            status_pages(
                parts,
                serving=self.serving,
                health=self._health,
                golden=self._golden,
                pipelines=tuple(self._own.pipelines),
            )
        )
        server = open_http(parts.settings, self._health, self._metrics, pages=pages, observer=self._observe)
        self._parts.callback(server.stop)

    def _open_intakes(self, parts: FlowParts) -> None:
        """Take studies in: the last thing that starts, and the first that stops."""
        dicom_port = 0
        for intake in open_intakes(parts) if self._role.receives else ():
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
                role=self._role.value,
                member=self._name,
            )
        )

    def wait_warm(self, timeout_seconds: float) -> None:
        """Wait until the child processes have loaded and verified the packages."""
        self._crew.pool.wait_ready(timeout_seconds)

    def _start_serving(self, ledger: SqlLedger) -> None:
        """Start the children that this role needs; the start does not wait for them."""
        if not self._has_children:
            return
        crews = Crews(self._own, self.serving, self._observe)
        self._crew = crews.start()
        self._parts.callback(self.serving.kill)  # the flow has drained by then: the next start recovers what still runs
        threading.Thread(target=self._tell_if_cold, args=(self._crew,), name="package-report", daemon=True).start()
        if not self._role.analyses:
            return
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
