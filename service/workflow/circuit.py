# SPDX-License-Identifier: Apache-2.0
"""Leaves a destination alone that is not there: one probe in place of a connection for every result that waits.

Closed: everything is tried. After `FAILURES_TO_OPEN` attempts in a row that reached nobody it opens: what waits is
parked, without a task, and only the circuit's own task looks whether the destination is back. Then it is half open: one
C-ECHO, then one job. When that is answered the circuit closes, and what was parked is released, urgent first. Held: as
open, and nobody looks, until a person lets it go.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from service.domain.entry import CircuitRecord, CircuitState, Waiting
from service.domain.errors import DeliveryError, EchoUnsupportedError
from service.domain.event import CircuitChanged, RetryPlanned
from service.domain.result import Priority
from service.ports import Destination
from service.ports.ledger import LedgerTransaction
from service.settings import DestinationSettings
from service.workflow.backoff import wait_seconds
from service.workflow.context import FlowParts
from service.workflow.stages import circuit_stage, commit_stage, deliver_stage, task

FAILURES_TO_OPEN = 3
RELEASE_BATCH = 50
"""Rows released in one transaction: an image that arrives meanwhile waits for that long at most."""
EARLY_SECONDS = 1.0
"""A task that comes earlier than this before its time was woken by a clock that stepped, and waits on."""


class Reach(StrEnum):
    """How far an attempt at a destination came."""

    ANSWERED = "answered"
    BROKEN = "broken"
    """An association was made and broke without any answer."""
    UNREACHABLE = "unreachable"


class Circuit:
    """The circuit of one destination; its state is in the ledger, where every task and every restart sees it."""

    def __init__(self, parts: FlowParts, settings: DestinationSettings) -> None:
        self._parts = parts
        self._settings = settings
        self.name = settings.name

    def note(
        self, transaction: LedgerTransaction, circuit: CircuitRecord, *, job_id: int, reach: Reach
    ) -> CircuitRecord:
        """Note how an attempt went, in the transaction that notes the rest; `circuit` was locked in it."""
        if circuit.state is CircuitState.HELD:
            return circuit  # an attempt that began before a person held it
        if reach is Reach.ANSWERED:
            return self._answered(transaction, circuit)
        if circuit.state is CircuitState.OPEN:
            return circuit  # an attempt that began before it opened
        counts = reach is Reach.UNREACHABLE or job_id != circuit.failed_job_id
        failed = replace(circuit, failures=circuit.failures + counts, failed_job_id=job_id)
        if circuit.state is CircuitState.HALF_OPEN or failed.failures >= FAILURES_TO_OPEN:
            return self.open(transaction, failed)
        transaction.circuits.save(failed)
        return failed

    def open(self, transaction: LedgerTransaction, circuit: CircuitRecord) -> CircuitRecord:
        """Open the circuit, or keep it open, and look again later."""
        probes = circuit.probes + 1
        opened = self.follow_up(
            transaction,
            replace(circuit, state=CircuitState.OPEN, probes=probes),
            delay_seconds=self.wait_seconds(probes),
        )
        transaction.deliveries.park(self.name)
        transaction.commitments.park(self.name)
        return opened

    def close(self, transaction: LedgerTransaction, circuit: CircuitRecord) -> CircuitRecord:
        """Close the circuit; what waited is released by its task."""
        closed = replace(circuit, state=CircuitState.CLOSED, failures=0, probes=0, failed_job_id=0)
        return self.follow_up(transaction, closed)

    def wait_seconds(self, attempts: int) -> float:
        """Draw the wait after so many failed attempts."""
        return wait_seconds(
            attempts,
            first_seconds=self._settings.retry_first_seconds,
            max_seconds=self._settings.retry_max_seconds,
            draw=self._parts.draw,
        )

    def early_seconds(self, due_at: float, *, longest_seconds: float) -> float:
        """Return how long a task has to wait on because it came before its time; 0.0 when it may go on.

        No wait is longer than `longest_seconds`: what was due on a clock that has been set back since is due by then.
        """
        left = min(due_at - self._parts.steady(), longest_seconds)
        return left if left > EARLY_SECONDS else 0.0

    def tell(self, before: CircuitRecord, after: CircuitRecord) -> None:
        """Tell of a change, once it is in the ledger."""
        if after.state is not before.state:
            event = CircuitChanged(destination=self.name, state=after.state.value, failures=after.failures)
            self._parts.observer(event)
        if after.state is CircuitState.OPEN and after.probes != before.probes:
            self.tell_retry("circuit", after.due_at - self._parts.steady())

    def tell_retry(self, stage: str, seconds: float) -> None:
        """Tell that something is done again."""
        self._parts.observer(RetryPlanned(stage=stage, destination=self.name, seconds=max(0.0, seconds)))

    def _answered(self, transaction: LedgerTransaction, circuit: CircuitRecord) -> CircuitRecord:
        if circuit.state is CircuitState.CLOSED:
            if not circuit.failures:
                return circuit
            well = replace(circuit, failures=0, failed_job_id=0)
            transaction.circuits.save(well)
            return well
        return self.close(transaction, circuit)

    def follow_up(
        self, transaction: LedgerTransaction, circuit: CircuitRecord, *, delay_seconds: float = 0.0
    ) -> CircuitRecord:
        """Keep the circuit, and enqueue its next task."""
        attempt = circuit.attempt + 1
        following = task(
            circuit_stage(self.name), circuit.id, attempt=attempt, priority=Priority.URGENT, delay_seconds=delay_seconds
        )
        due_at = self._parts.steady() + delay_seconds
        followed = replace(circuit, attempt=attempt, task_id=following.task_id, due_at=due_at)
        transaction.circuits.save(followed)
        transaction.enqueue(following)
        return followed


def hold(transaction: LedgerTransaction, destination: str) -> bool:
    """Let nothing more be sent to a destination until `let_go`; False when it is held already.

    What is being sent at this moment ends as it ends. What waits is parked, across restarts.
    """
    circuit = transaction.circuits.lock(destination)
    if circuit.state is CircuitState.HELD:
        return False
    transaction.circuits.save(replace(circuit, state=CircuitState.HELD, failures=0, probes=0, task_id=""))
    transaction.deliveries.park(destination)
    transaction.commitments.park(destination)
    return True


def let_go(transaction: LedgerTransaction, destination: str) -> bool:
    """Let a destination be sent to again; False when it was not held. The reconciler releases what is parked."""
    circuit = transaction.circuits.lock(destination)
    if circuit.state is not CircuitState.HELD:
        return False
    transaction.circuits.save(replace(circuit, state=CircuitState.CLOSED, failed_job_id=0, task_id=""))
    return True


def is_there(destination: Destination) -> bool:
    """Say whether the destination takes associations, by one C-ECHO."""
    try:
        destination.echo()
    except EchoUnsupportedError:
        return True
    except DeliveryError:
        return False
    return True


class WatchCircuit:
    """The task of a circuit: looks whether the destination is back, and releases what waited for it.

    `attempt` makes one attempt at a job's deliveries and notes how it went, the circuit included; False when there was
    nothing to send.
    """

    def __init__(
        self,
        parts: FlowParts,
        destination: Destination,
        circuit: Circuit,
        *,
        longest_seconds: float,
        attempt: Callable[[int], bool],
    ) -> None:
        self._parts = parts
        self._destination = destination
        self._circuit = circuit
        self._longest_seconds = longest_seconds
        self._attempt = attempt

    def __call__(self, _circuit_id: int, own_task_id: str) -> None:
        """Probe or release, unless another task has the circuit."""
        with self._parts.ledger.reading() as view:
            circuit = view.circuits.get(self._circuit.name)
        if circuit.task_id != own_task_id or circuit.state is CircuitState.HELD:
            return
        if circuit.state is CircuitState.CLOSED:
            self._release(own_task_id)
        elif self._half_open(own_task_id):
            self._probe(own_task_id)

    def _half_open(self, own_task_id: str) -> bool:
        with self._parts.ledger.transaction() as transaction:
            before = after = transaction.circuits.lock(self._circuit.name)
            ours = before.task_id == own_task_id and before.state is not CircuitState.HELD
            early_seconds = self._circuit.early_seconds(before.due_at, longest_seconds=self._longest_seconds)
            if ours and early_seconds:
                self._circuit.follow_up(transaction, before, delay_seconds=early_seconds)
            elif ours:
                after = replace(before, state=CircuitState.HALF_OPEN)
                transaction.circuits.save(after)
        self._circuit.tell(before, after)
        return ours and not early_seconds

    def _probe(self, own_task_id: str) -> None:
        if not is_there(self._destination):
            self._settle(own_task_id, self._circuit.open)
            return
        with self._parts.ledger.reading() as view:
            job_id = view.deliveries.candidate(self._circuit.name)
        if job_id is None or not self._attempt(job_id):
            self._settle(own_task_id, self._circuit.close)

    def _settle(self, own_task_id: str, change: Callable[[LedgerTransaction, CircuitRecord], CircuitRecord]) -> None:
        with self._parts.ledger.transaction() as transaction:
            before = transaction.circuits.lock(self._circuit.name)
            if before.task_id != own_task_id or before.state is CircuitState.HELD:
                return
            after = change(transaction, before)
        self._circuit.tell(before, after)

    def _release(self, own_task_id: str) -> None:
        name = self._circuit.name
        with self._parts.ledger.transaction() as transaction:
            circuit = transaction.circuits.lock(name)
            if circuit.task_id != own_task_id or circuit.state is not CircuitState.CLOSED:
                return
            jobs = transaction.deliveries.release(name, limit=RELEASE_BATCH)
            asked = transaction.commitments.release(name, limit=RELEASE_BATCH - len(jobs))
            now = self._parts.steady()
            for row in jobs:
                released = self._enqueue(transaction, deliver_stage(name), row)
                transaction.deliveries.assign(row.row_id, name, task_id=released, next_attempt_at=now)
            for row in asked:
                released = self._enqueue(transaction, commit_stage(name), row)
                transaction.commitments.assign(row.row_id, task_id=released, due_at=now)
            if len(jobs) + len(asked) == RELEASE_BATCH:
                self._circuit.follow_up(transaction, circuit)
            else:
                transaction.circuits.save(replace(circuit, task_id=""))

    def _enqueue(self, transaction: LedgerTransaction, stage: str, row: Waiting) -> str:
        following = task(stage, row.row_id, attempt=row.attempt + 1, priority=row.priority)
        transaction.enqueue(following)
        return following.task_id
