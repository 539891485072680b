# SPDX-License-Identifier: Apache-2.0
"""Binds the stages to the engine, and keeps house beside them: reconciling, and forgetting finished tasks."""

import threading
from collections.abc import Callable

from service.domain.errors import ConfigurationError, StorageError, WorkerError, WorkerUnavailableError
from service.domain.event import StageFailed
from service.domain.member import Role
from service.ports import CommitmentPeer
from service.ports.engine import Engine, TaskHandler
from service.ports.members import Alone, Members
from service.settings import DestinationSettings
from service.workflow.analyse import AnalyseJob
from service.workflow.circuit import WatchCircuit
from service.workflow.close import CloseStudy
from service.workflow.commit import CommitJob
from service.workflow.context import FlowParts
from service.workflow.deliver import DeliverJob
from service.workflow.encode import EncodeJob
from service.workflow.fetch import FetchPriors
from service.workflow.notify import Notify
from service.workflow.outbox import Outbox
from service.workflow.promise import ReportOrder
from service.workflow.quarantine import Quarantine
from service.workflow.reconcile import Reconcile
from service.workflow.retention import Retention
from service.workflow.route import RouteRevision
from service.workflow.shadow_job import ShadowJob
from service.workflow.stages import (
    ANALYSE,
    CLOSE,
    ENCODE,
    FETCH,
    NOTIFY,
    QUEUES,
    ROUTE,
    SHADOW,
    STUDY_QUEUE,
    circuit_stage,
    commit_stage,
    deliver_stage,
    is_for,
    queue,
    report_stage,
)

RECONCILE_SECONDS = 60.0
FORGET_AFTER_SECONDS = 7 * 86_400.0
STUDY_CONCURRENCY = 4
DELIVERY_CONCURRENCY = 2
SENDING_SECONDS = 4.0
"""Time that deliveries have to end when the node stops; an archive that hangs is cut off then."""
GRACE_SECONDS = 3600.0
"""What is younger may be another member's work in progress."""
MISSED_BEATS = 5
"""The reconciler is given up when it has not finished a pass for so many of its intervals."""

MACHINE_FAULTS = (StorageError, WorkerUnavailableError)
"""The disk is full or no child process starts: work waits until that is mended, and no study is blamed for it."""


def _nothing(_row_id: int) -> None:
    """Do nothing."""


class Flow:
    """The flow of studies; `start` after the engine's parts are made, `stop` before they go.

    Parameters
    ----------
    role
        Whose stages this process does; the others it enqueues for members that do.
    members
        Who else shares the ledger.
    """

    def __init__(
        self,
        parts: FlowParts,
        engine: Engine,
        *,
        reconcile_seconds: float = RECONCILE_SECONDS,
        role: Role = Role.ALL,
        members: Members | None = None,
    ) -> None:
        self._parts = parts
        self._role = role
        self._members = members or Alone()
        self._led = False
        self._engine = engine
        self._reconcile_seconds = reconcile_seconds
        self._quarantine = Quarantine(parts)
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._retention = Retention(parts, stopping=self._stopping.is_set)
        self._beat_at = parts.clock.monotonic()
        self._housekeeper = threading.Thread(target=self._keep_house, name="reconciler", daemon=True)
        self._reconcile = Reconcile(parts, engine, stages=self._register())

    def start(self) -> None:
        """Clear what interrupted writes left, recover what an earlier process left, and run."""
        self._parts.store.remove_partial()
        if self._role is Role.ALL:
            self._clear(grace_seconds=0.0)
        committing = [entry.name for entry in self._parts.settings.destinations if entry.commitment == "request"]
        with self._parts.ledger.transaction() as transaction:
            transaction.circuits.follow(tuple(self._parts.destinations))
            transaction.deliveries.follow(tuple(self._parts.destinations), committing=committing, at=self._parts.now())
        self._engine.launch()
        self._beat_at = self._parts.clock.monotonic()
        self._housekeeper.start()

    def _clear(self, *, grace_seconds: float) -> None:
        """Delete what nobody will finish any more."""
        present = {member.name for member in self._members.present()}
        self._parts.store.remove_left(present=present, grace_seconds=grace_seconds)
        self._quarantine.sweep(grace_seconds=grace_seconds)

    def stop(self, *, drain_seconds: float) -> None:
        """Finish what is running within this time; the rest is recovered at the next start."""
        self._stopping.set()
        self._wake.set()
        if self._housekeeper.is_alive():
            self._housekeeper.join()
        breaking = threading.Timer(SENDING_SECONDS, self._interrupt)
        breaking.daemon = True
        breaking.start()
        self._engine.shutdown(drain_seconds=drain_seconds)
        breaking.cancel()

    def _interrupt(self) -> None:
        """Break what is still being sent: it is sent again after the next start, and no archive counts it twice."""
        for destination in self._parts.destinations.values():
            destination.interrupt()
        for modality in self._parts.modalities.values():
            modality.interrupt()
        if self._parts.prior_source is not None:
            self._parts.prior_source.interrupt()

    def problem(self) -> str:
        """Return "" while the flow works, or stops as it was told, else what only a restart of the node mends."""
        if self._stopping.is_set():
            return ""
        silent_seconds = self._parts.clock.monotonic() - self._beat_at
        if silent_seconds > MISSED_BEATS * self._reconcile_seconds:
            return f"the reconciler has not finished a pass for {silent_seconds:.0f} s; restart the node"
        return self._engine.problem()

    def wake(self) -> None:
        """Have the next pass made now: a command has left work in the ledger."""
        self._wake.set()

    def retain(self) -> int:
        """Delete what nobody needs any more; return the number of purges."""
        return self._retention()

    def reconcile(self) -> int:
        """Start again whatever the engine lost; return the number."""
        return self._reconcile()

    def _register(self) -> list[str]:
        encode = EncodeJob(self._parts)
        analyse = AnalyseJob(self._parts, stopping=self._stopping.is_set)
        handlers: dict[str, TaskHandler] = {
            CLOSE: CloseStudy(self._parts),
            ROUTE: RouteRevision(self._parts),
            ANALYSE: self._counting(analyse, analyse.failed, not_tried=analyse.not_tried),
            ENCODE: self._counting(encode, encode.failed),
            NOTIFY: Notify(self._parts),
            SHADOW: ShadowJob(self._parts),
            FETCH: FetchPriors(self._parts, stopping=self._stopping.is_set),
            **self._deliveries(),
            **{report_stage(name): ReportOrder(self._parts, peer) for name, peer in self._parts.modalities.items()},
        }
        for stage, handler in handlers.items():
            if not is_for(self._role, stage):
                continue
            self._engine.register(stage, self._observed(stage, handler))
            self._engine.declare_queue(queue(stage), concurrency=self._concurrency(stage))
        return list(handlers)

    def _deliveries(self) -> dict[str, TaskHandler]:
        handlers: dict[str, TaskHandler] = {}
        for settings in self._parts.settings.destinations:
            handlers |= self._delivery(settings)
        return handlers

    def _delivery(self, settings: DestinationSettings) -> dict[str, TaskHandler]:
        parts, outbox, name = self._parts, Outbox(self._parts, settings), settings.name
        destination = parts.destinations[name]
        deliver = DeliverJob(parts, destination, outbox)
        watch = WatchCircuit(
            parts,
            destination,
            outbox.circuit,
            longest_seconds=settings.retry_max_seconds,
            attempt=deliver.attempt,
        )
        handlers: dict[str, TaskHandler] = {deliver_stage(name): deliver, circuit_stage(name): watch}
        if settings.commitment == "request":
            handlers[commit_stage(name)] = CommitJob(parts, self._archive(name), outbox)
        return handlers

    def _archive(self, name: str) -> CommitmentPeer:
        try:
            return self._parts.archives[name]
        except KeyError:
            raise ConfigurationError(
                f"destination '{name}' has 'commitment: request', and its kind cannot be asked for storage commitment; "
                "set 'commitment: none'"
            ) from None

    def _concurrency(self, stage: str) -> int:
        workers = self._parts.settings.inference.workers
        priors = self._parts.settings.priors
        limits = {ANALYSE: workers, ENCODE: workers + 1, NOTIFY: DELIVERY_CONCURRENCY, SHADOW: 1}
        limits[FETCH] = priors.at_once if priors is not None else 1
        if QUEUES.get(stage) == STUDY_QUEUE:
            return STUDY_CONCURRENCY
        return limits.get(stage, DELIVERY_CONCURRENCY)

    def _observed(self, stage: str, handler: TaskHandler) -> TaskHandler:
        def run(row_id: int, task_id: str) -> None:
            try:
                handler(row_id, task_id)
            except Exception as error:
                name = type(error).__name__
                detail = str(error) if isinstance(error, WorkerError) else ""  # types and places in the code alone
                self._parts.observer(
                    StageFailed(stage=stage, study_key="", pipeline="", error=name, retryable=True, detail=detail)
                )
                raise  # the task ends as failed, and the reconciler starts the work again

        return run

    def _counting(
        self, handler: TaskHandler, count: Callable[[int], None], *, not_tried: Callable[[int], None] = _nothing
    ) -> TaskHandler:
        def run(row_id: int, task_id: str) -> None:
            try:
                handler(row_id, task_id)
            except MACHINE_FAULTS:
                not_tried(row_id)
                raise
            except Exception:
                if not self._stopping.is_set():
                    count(row_id)
                raise

        return run

    def _keep_house(self) -> None:
        while True:
            self._keep_house_once()
            self._beat_at = self._parts.clock.monotonic()
            self._wake.wait(self._reconcile_seconds)
            self._wake.clear()
            if self._stopping.is_set():
                return

    def _keep_house_of_all(self) -> None:
        """Do what one process does for all that share the ledger; two at a time would only get in each other's way."""
        if not self._led and self._role is not Role.ALL:
            self._clear(grace_seconds=GRACE_SECONDS)  # it is new at this
        self._quarantine.trim()
        self._retention()
        self._engine.forget(older_than_seconds=FORGET_AFTER_SECONDS)

    def _keep_house_once(self) -> None:
        try:
            leads = self._members.leads()
            self._reconcile(leads=leads)
            if leads:
                self._keep_house_of_all()
            self._led = leads
        except Exception as error:  # noqa: BLE001 - the outermost loop of this thread: it must outlive every fault
            self._parts.observer(
                StageFailed(stage="reconcile", study_key="", pipeline="", error=type(error).__name__, retryable=True)
            )
