# SPDX-License-Identifier: Apache-2.0
"""The node: builds every part from the settings, starts them in order and stops them in the reverse order."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Self

from pydantic import TypeAdapter

from service import __version__
from service.bootstrap.analyst import ChildAnalyst
from service.bootstrap.auditing import audit_trail, auditing
from service.bootstrap.clock import SystemClock
from service.bootstrap.dicomweb import make_destination, make_stow_server
from service.bootstrap.observation import WorkObserver
from service.bootstrap.packages import (
    PackageChoice,
    choose_packages,
    configuration_problems,
    installed_packages,
    package_report,
)
from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.domain.errors import ConfigurationError, DokueiError, StorageError
from service.domain.event import NodeStarted, NodeStopping, StageFailed
from service.domain.study import study_key
from service.engine.dbos_engine import DbosEngine
from service.inference.session import available_devices
from service.inference.worker import WorkerPool
from service.observability.health import Health
from service.observability.http import HttpServer
from service.observability.metrics import Metrics
from service.observability.observer import combine
from service.pipelines import PIPELINES
from service.ports import InstalledPackage, Observer, Receiver
from service.settings import HttpSettings, NodeSettings, Settings
from service.storage.database import create_database, migrate
from service.storage.folder import DataFolder, FolderLock, open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger
from service.storage.statistics import SqlStatistics
from service.transport.store_scp import StoreScp
from service.transport.webhook import Webhook
from service.workflow.alerts import SecurityAlerts
from service.workflow.context import FlowParts
from service.workflow.flow import Flow
from service.workflow.receive import StoreInstance

DRAIN_SECONDS = 30.0
WARM_SECONDS = 600.0
CHILD = "service.bootstrap.child:start"
CHOICES = TypeAdapter(dict[str, PackageChoice])


class Node:
    """A running node; use it as a context manager.

    Raises
    ------
    ConfigurationError
        The settings name something that is not there, or the data folder is in use.
    """

    def __init__(self, settings: Settings, log: Observer) -> None:
        problems = configuration_problems(settings)
        if problems:
            raise ConfigurationError("the node cannot start:\n  " + "\n  ".join(problems))
        self.settings = settings
        self._metrics = Metrics()
        self._alerts = SecurityAlerts()
        audited = () if settings.audit is None else (self._alerts,)
        self._observe = combine(log, self._metrics, *audited)
        self._health = Health()
        self._stopping = threading.Event()
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

    def wait(self) -> None:
        """Block until SIGTERM or SIGINT; a second signal ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._stopping.wait()

    def _signalled(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of the OS
        if self._stopping.is_set():
            os._exit(128 + number)
        self._observe(NodeStopping(reason=signal.Signals(number).name))
        self._stopping.set()

    def _start(self) -> None:
        settings = self.settings
        folder = open_folder(settings.storage.folder)
        self._parts.callback(FolderLock(folder.root).release)
        database = create_database(folder.root)
        self._parts.callback(database.dispose)
        migrate(database)
        engine = DbosEngine(database)
        ledger = SqlLedger(database, root=folder.root, enqueue=engine.enqueue)
        trail = audit_trail(settings)
        self._parts.enter_context(auditing(settings, trail, ledger, alerts=self._alerts, observer=self._observe))
        store = FileStore(folder, reserve_bytes=settings.storage.reserve_bytes)
        key = partial(study_key, site_key=site_key(folder.root))
        self._measure(SqlStatistics(database), folder)
        choices = choose_packages(settings, cores=os.cpu_count() or 1)
        packages, _ = installed_packages(choices, self._observe)
        self._pool = self._start_pool(choices)
        threading.Thread(target=self._report_packages, args=(packages,), name="package-report", daemon=True).start()
        parts = FlowParts(
            settings=settings,
            clock=SystemClock(),
            observer=self._observe,
            ledger=ledger,
            store=store,
            analyst=ChildAnalyst(self._pool, WorkObserver(self._observe, key)),
            pipelines=PIPELINES,
            packages=packages,
            destinations={
                entry.name: make_destination(entry, ae_title=settings.node.ae_title, observer=self._observe)
                for entry in settings.destinations
            },
            notifiers={entry.name: Webhook(entry) for entry in settings.webhooks},
            study_key=key,
            audit=trail,
        )
        self._start_http()
        self._start_flow(Flow(parts, engine))
        receiver = StoreInstance(parts)
        self._start_stow(receiver)
        self._start_scp(receiver)

    def _measure(self, statistics: SqlStatistics, folder: DataFolder) -> None:
        reserve_bytes = self.settings.storage.reserve_bytes
        self._metrics.add_queue_collector(statistics)
        self._metrics.add_storage_collector(folder.root, reserve_bytes)
        self._health.add_ready("disk", lambda: _space_problem(folder.root, reserve_bytes))
        self._health.add_ready("ledger", lambda: _ledger_problem(statistics))
        self._health.add_ready("packages", lambda: self._pool.problem)
        self._health.add_ready("draining", lambda: "the node is stopping" if self._stopping.is_set() else "")

    def _start_http(self) -> None:
        server = HttpServer(self.settings.http, health=self._health, registry=self._metrics.registry)
        with _naming_the_port("http", self.settings.http):
            server.start()
        self._parts.callback(server.stop)

    def wait_warm(self, timeout_seconds: float) -> None:
        """Wait until the child processes have loaded and verified the packages."""
        self._pool.wait_ready(timeout_seconds)

    def _start_pool(self, choices: dict[str, PackageChoice]) -> WorkerPool:
        inference = self.settings.inference
        pool = WorkerPool(
            CHILD,
            size=inference.workers,
            deadline_seconds=inference.deadline_seconds,
            memory_bytes=None if self._uses_cuda() else inference.memory_bytes,
            initial={"packages": CHOICES.dump_python(choices, mode="json")},
            observer=self._observe,
        )
        self._parts.callback(pool.kill)  # the flow has drained by then: what still runs is recovered at the next start
        return pool

    def _report_packages(self, packages: Mapping[str, InstalledPackage]) -> None:
        """Say which packages the child could load; runs beside the start, which does not wait for it."""
        try:
            self._pool.wait_ready(WARM_SECONDS)
            errors = self._pool.call({"task": "packages"})["errors"]
        except DokueiError as error:
            name = type(error).__name__
            self._observe(StageFailed(stage="packages", study_key="", pipeline="", error=name, retryable=True))
            return
        for event in package_report(packages, errors):
            self._observe(event)

    def _uses_cuda(self) -> bool:
        """Whether CUDA may be used: it reserves far more address space than it uses, so that no limit can be set."""
        return self.settings.inference.provider != "cpu" and "cuda" in available_devices()

    def _start_flow(self, flow: Flow) -> None:
        flow.start()
        self._health.add_live("flow", flow.problem)
        self._parts.callback(flow.stop, drain_seconds=DRAIN_SECONDS)

    def _start_stow(self, receiver: Receiver) -> None:
        settings = self.settings.dicomweb
        if settings is None:
            return
        server = make_stow_server(settings, peers=self.settings.peers, receiver=receiver, observer=self._observe)
        with _naming_the_port("dicomweb", HttpSettings(host=settings.host, port=settings.listens_on)):
            server.start()
        self._parts.callback(server.drain, DRAIN_SECONDS)

    def _start_scp(self, receiver: Receiver) -> None:
        node = self.settings.node
        scp = StoreScp(
            node,
            peers=self.settings.peers,
            receiver=receiver,
            observer=self._observe,
            transfer_syntaxes=SUPPORTED_TRANSFER_SYNTAXES,
        )
        with _naming_the_port("node", node):
            scp.start()
        self._parts.callback(scp.drain, DRAIN_SECONDS)
        self._observe(NodeStarted(version=__version__, ae_title=node.ae_title, port=scp.port))


@contextmanager
def _naming_the_port(section: str, place: NodeSettings | HttpSettings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{section}.port: cannot listen on {place.host}:{place.port}: {error.strerror}; stop what uses it "
            "(another node?), or choose another port"
        ) from error


def _space_problem(folder: Path, reserve_bytes: int) -> str:
    free = shutil.disk_usage(folder).free
    return "" if free > reserve_bytes else f"{free} bytes free, below the reserve of {reserve_bytes}"


def _ledger_problem(statistics: SqlStatistics) -> str:
    try:
        statistics.counts()
    except StorageError as error:
        return str(error)
    return ""
