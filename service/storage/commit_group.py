# SPDX-License-Identifier: Apache-2.0
"""Group commit: those who wait for the ledger at the same time share one transaction, and so one flush."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

Transaction = TypeVar("Transaction")
Outcome = TypeVar("Outcome")

MAX_GROUP = 64


class _Entry(Generic[Transaction]):
    """What one caller wants done, and what became of it."""

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.blamed = False
        self.leads = False
        self.woken = threading.Event()

    def run(self, transaction: Transaction) -> None:
        """Do the work; remember that it was this work that failed."""
        try:
            self.outcome = self.work(transaction)
        except BaseException:
            self.blamed = True
            raise

    def result(self) -> Any:
        """Return what the work returned, or raise what became of it."""
        if self.error is not None:
            raise self.error
        return self.outcome


class CommitGroup(Generic[Transaction]):
    """Runs each caller's work in a transaction that it may share.

    Nobody waits for company: the first caller commits at once, in its own thread, and those who come meanwhile form the
    next group. The first of them leads it, so that no caller works for others after its own work is done.

    Parameters
    ----------
    transaction
        Opens a transaction that commits at the end of its block.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._transaction = transaction
        self._waiting: list[_Entry[Transaction]] = []
        self._busy = False
        self._lock = threading.Lock()

    def __call__(self, work: Callable[[Transaction], Outcome]) -> Outcome:
        """Return what `work` returned, after its transaction has committed; raise what it raised.

        It runs a second time, alone, when another's work made the shared transaction fail.
        """
        entry: _Entry[Transaction] = _Entry(work)
        if not self._enter(entry):
            entry.woken.wait()
        if entry.leads:
            self._lead()
        outcome: Outcome = entry.result()
        return outcome

    def _enter(self, entry: _Entry[Transaction]) -> bool:
        """Join those who wait; True when nobody is at work, so that this caller leads."""
        with self._lock:
            self._waiting.append(entry)
            entry.leads, self._busy = not self._busy, True
            return entry.leads

    def _lead(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        try:
            self._commit(group)
        finally:
            self._hand_over()
            for entry in group[1:]:  # the first is the caller itself
                entry.woken.set()

    def _hand_over(self) -> None:
        with self._lock:
            self._busy = bool(self._waiting)
            if self._busy:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _commit(self, group: Sequence[_Entry[Transaction]]) -> None:
        try:
            with self._transaction() as transaction:
                for entry in group:
                    entry.run(transaction)
        except BaseException as error:  # noqa: BLE001 - goes to whoever's work it is
            if len(group) > 1 and any(entry.blamed for entry in group):
                self._commit_singly(group)
            else:
                _fail(group, error)

    def _commit_singly(self, group: Sequence[_Entry[Transaction]]) -> None:
        for number, entry in enumerate(group, start=1):
            entry.blamed = False
            self._commit([entry])
            if entry.error is not None and not entry.blamed:  # the database itself: it would refuse the others, too
                _fail(group[number:], entry.error)
                return


def _fail(group: Iterable[_Entry[Transaction]], error: BaseException) -> None:
    for entry in group:
        entry.error = error
