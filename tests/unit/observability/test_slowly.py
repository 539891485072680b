# SPDX-License-Identifier: Apache-2.0
"""A number that takes long holds no scrape up."""

import threading
import time

from harness.processes import wait_until
from service.domain.errors import StorageError
from service.observability.slowly import Slowly


def test_the_caller_never_waits() -> None:
    let_go = threading.Event()

    def find() -> float:
        let_go.wait(10)
        return 7

    slowly = Slowly(find, seconds=60)
    started = time.monotonic()
    assert slowly() is None
    assert time.monotonic() - started < 1
    let_go.set()
    wait_until(lambda: slowly() == 7, seconds=5, what="the number was not taken over")


def test_it_is_looked_for_once_until_it_is_old() -> None:
    calls: list[int] = []
    slowly = Slowly(lambda: float(calls.append(1) or len(calls)), seconds=0.2)
    wait_until(lambda: slowly() is not None, seconds=5, what="no number")
    assert [slowly() for _ in range(50)][-1] in {1, 2}
    time.sleep(0.25)
    wait_until(lambda: (slowly() or 0) >= 2, seconds=5, what="no second number")
    assert len(calls) < 10


def test_a_closed_ledger_has_no_number() -> None:
    def find() -> float:
        raise StorageError("closed")

    slowly = Slowly(find, seconds=0)
    assert [slowly() for _ in range(3)] == [None] * 3
