# SPDX-License-Identifier: Apache-2.0
"""The bad network does what it says, over real sockets."""

import socket
import time
from collections.abc import Iterator

import pytest

from harness.scripted import ScriptedServer
from tests.chaos.proxy import Fault, Proxy


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1_000):
        connection.sendall(data)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(echo)
    yield server
    server.stop()


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def read(client: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (part := client.recv(size - len(got))):
        got += part
    return got


def read_until_reset(client: socket.socket) -> bytes:
    got = b""
    try:
        while part := client.recv(1):
            got += part
    except ConnectionResetError:
        return got
    raise AssertionError("the connection ended without a reset")


def test_without_faults_all_passes(server: ScriptedServer) -> None:
    with Proxy(server.port) as proxy, dial(proxy) as client:
        client.sendall(b"abcdef")
        assert read(client, 6) == b"abcdef"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_resets_after_so_many_bytes(server: ScriptedServer, direction: str) -> None:
    with Proxy(server.port, **{direction: Fault(cut_after_bytes=3)}) as proxy, dial(proxy) as client:
        client.sendall(b"abcdef")
        assert b"abc".startswith(read_until_reset(client))  # a reset may overtake what came before it


def test_a_black_hole_tells_nobody(server: ScriptedServer) -> None:
    with Proxy(server.port, up=Fault(swallow_after_bytes=3)) as proxy, dial(proxy) as client:
        client.sendall(b"abcdef")
        assert read(client, 3) == b"abc"
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)


@pytest.mark.parametrize("fault", [Fault(drip_seconds=0.05), Fault(delay_seconds=0.2)])
def test_bytes_can_be_late(server: ScriptedServer, fault: Fault) -> None:
    with Proxy(server.port, up=fault) as proxy, dial(proxy) as client:
        started = time.monotonic()
        client.sendall(b"abcd")
        assert read(client, 4) == b"abcd"
        assert time.monotonic() - started >= 0.19
