# SPDX-License-Identifier: Apache-2.0
"""What the attacks run against: our receiver in a process of its own, the stock server, and the whole node."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.node import NodeProgram
from harness.processes import free_port, wait_until
from harness.receiver_program import ReceiverProgram
from harness.stock_scp import StockScp
from harness.watched import Bystander

RECOVERY_SECONDS = 6
"""How long after an attack a thread or a file descriptor of it may still be there."""


@pytest.fixture(scope="session")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverProgram]:
    program = ReceiverProgram(tmp_path_factory.mktemp("receiver"), node={"max_associations": 64})
    program.start()
    yield program
    program.stop()
    assert "Traceback" not in program.log


@pytest.fixture
def receiver(shared_receiver: ReceiverProgram) -> Iterator[ReceiverProgram]:
    """Our receiver; after the test nothing of the attack may be left."""
    with unharmed(shared_receiver):
        yield shared_receiver


class unharmed:  # noqa: N801 - reads as a context
    """Checks that an attack left no thread, no file descriptor and no partial file, and that service goes on."""

    def __init__(self, receiver: ReceiverProgram) -> None:
        self._receiver = receiver

    def __enter__(self) -> None:
        self._threads, self._files = self._receiver.cost.threads, self._receiver.cost.files

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        receiver = self._receiver
        assert receiver.runs, receiver.log[-2000:]
        wait_until(self._recovered, seconds=RECOVERY_SECONDS, what="the attack left something")
        bystander = Bystander(receiver.port)
        with bystander:
            pass
        bystander.check()
        assert "Traceback" not in receiver.log
        assert "uncaught_error" not in receiver.log

    def _recovered(self) -> bool:
        cost = self._receiver.cost
        return cost.threads <= self._threads and cost.files <= self._files and not self._receiver.partial()


@pytest.fixture
def start_receiver(tmp_path: Path) -> Iterator[Callable[..., ReceiverProgram]]:
    """Return a function that starts a receiver of its own; see ReceiverProgram for the options."""
    started: list[ReceiverProgram] = []

    def start(**options: Any) -> ReceiverProgram:
        started.append(ReceiverProgram(tmp_path / f"receiver-{len(started)}", **options))
        started[-1].start()
        return started[-1]

    yield start
    for program in started:
        program.stop()


@pytest.fixture
def start_stock(tmp_path: Path) -> Iterator[Callable[..., StockScp]]:
    """Return a function that starts a stock server; see StockScp for the options."""
    started: list[StockScp] = []

    def start(**options: Any) -> StockScp:
        started.append(StockScp(tmp_path / f"stock-{len(started)}", **options))
        started[-1].start()
        return started[-1]

    yield start
    for program in started:
        program.kill()


@pytest.fixture
def stock(start_stock: Callable[..., StockScp]) -> StockScp:
    return start_stock()


@pytest.fixture(scope="session")
def patient_stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockScp]:
    """A stock server that all those attacks share from which it recovers when they end."""
    stock = StockScp(tmp_path_factory.mktemp("stock"))
    stock.start()
    yield stock
    stock.kill()


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProgram]:
    """The whole node with its admission; its studies stay open, so that nothing is analysed."""
    peers = [{"name": "modality", "ae_title": "MODALITY", "address": "127.0.0.0/28"}]
    changes = {
        "peers": peers,
        "close": {"quiet_seconds": 3600, "settle_seconds": 3600},
        "log": {"level": "debug"},
    }
    node = NodeProgram(tmp_path_factory.mktemp("node"), pacs=("PACS", free_port()), changes=changes)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def node(shared_node: NodeProgram) -> Iterator[NodeProgram]:
    """The whole node; after the test it must serve as before, with nothing half-written."""
    yield shared_node
    assert shared_node.runs, shared_node.log[-3000:]
    incoming = shared_node.folder / "data" / "incoming"
    wait_until(lambda: not list(incoming.iterdir()), seconds=RECOVERY_SECONDS, what="a partial file is left")
    bystander = Bystander(shared_node.port)
    with bystander:
        pass
    bystander.check()
    assert "Traceback" not in shared_node.log
    assert "uncaught_error" not in shared_node.log
