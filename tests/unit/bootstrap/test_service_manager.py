# SPDX-License-Identifier: Apache-2.0
"""systemd hears that the node is ready and lives, and no longer when it is wedged."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node import NodeProgram
from service.bootstrap.service_manager import ALIVE, READY, STOPPING, heartbeat, tell


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def heard(manager: socket.socket) -> str:
    return manager.recv(1000).decode()


def test_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not tell(READY)


def test_a_manager_that_is_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not tell(READY)


def test_an_abstract_socket_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"dokuei-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        assert tell(READY)
        assert heard(listener) == READY


def test_signs_of_life_end_when_the_node_is_wedged(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    well = True
    with heartbeat(lambda: well):
        assert [heard(manager) for _ in range(3)] == [ALIVE] * 3
        well = False
        time.sleep(0.1)
        manager.setblocking(False)
        while True:  # what was on its way
            try:
                heard(manager)
            except BlockingIOError:
                break
        time.sleep(0.2)
        with pytest.raises(BlockingIOError):
            heard(manager)


@pytest.mark.skipif(sys.platform != "linux", reason="NO LINUX: only systemd is told")
def test_a_node_says_that_it_is_ready_lives_and_stops(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    node = NodeProgram(tmp_path / "node", pacs=("PACS", 9))
    node.environment = dict(os.environ)
    node.start(wait=False)
    try:
        # It is called alive while it starts: a migration may take longer than a watchdog waits.
        said = [heard(manager)]
        while said[-1] != READY:
            said.append(heard(manager))
        assert set(said[:-1]) <= {ALIVE}
        assert node.http("/livez")[0] == 200
        assert heard(manager) == ALIVE
    finally:
        node.stop()
    said = [heard(manager)]
    while said[-1] != STOPPING:
        said.append(heard(manager))
