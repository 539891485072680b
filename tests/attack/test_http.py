# SPDX-License-Identifier: Apache-2.0
"""Attacks on the HTTP port: whatever comes there, DICOM goes on, and nothing but its pages comes back.

The paths are asked of the node itself, so that a page that is added is attacked like the others.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.hostile import ct_object
from harness.node import NodeProgram
from harness.processes import wait_until
from harness.watched import MIB, Bystander, Cost, Growth
from harness.wire import ASSOCIATE_AC, Peer

pytestmark = pytest.mark.timeout(180)
TESTS = Path(__file__).parents[1]
FLOOD = (sys.executable, "-m", "harness.flood")
FLOOD_SECONDS, FLOOD_CONNECTIONS = 5, 32
MOST_CONNECTIONS = 64 + 16
"""What the pools of the ledger keep open (storage/sqlite), and that of the status page (storage/reading)."""
ECHO_SECONDS = 1.0
OTHER_METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", "get")
TRICKS = (
    "/etc/passwd",
    "/../etc/passwd",
    "/metrics/../../etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%c0%af..%c0%afetc/passwd",
    "\\..\\etc\\passwd",
    "/metrics/",
    "/metrics//",
    "/METRICS",
    "/metrics%00",
    "/metrics;a=b",
    "/metrics/x",
    "http://elsewhere.example/secret",
    "file:///etc/passwd",
    "*",
    "/proc/self/environ",
    "/livez/../config.yaml",
    "/config.yaml",
    "/data/ledger.db",
    "/" + "a" * 8_000,
    "/" + "../" * 500,
)


def raw(node: NodeProgram, request: bytes, *, seconds: float = 15) -> bytes:
    """Send bytes; return what comes until the end, nothing where the connection is broken off."""
    answer = b""
    with socket.create_connection(("127.0.0.1", node.http_port), timeout=seconds) as connection, suppress(OSError):
        connection.sendall(request)
        while part := connection.recv(65_536):
            answer += part
    return answer


def status(answer: bytes) -> int:
    """The status of an answer; 0 for none, or for the bare words that a client of HTTP/0.9 is told."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else 0


@pytest.fixture
def paths(node: NodeProgram) -> list[str]:
    return pages(node)


def pages(node: NodeProgram) -> list[str]:
    """The pages of the port: those that an answer 404 tells, and those that a front page, where there is one, links."""
    code, told = node.http("/no-such-page")
    assert code == 404
    found = told.split()[1:]
    assert {"/metrics", "/livez", "/readyz"} <= set(found)
    code, front = node.http("/")
    linked = ["/", *re.findall(r'(?:href|src)="(/[^"#?]*)"', front)] if code == 200 else []
    return list(dict.fromkeys(found + linked))


@pytest.fixture(scope="module")
def settled(shared_node: NodeProgram) -> Cost:
    """The cost of a node that has served a flood before."""
    command = [*FLOOD, str(shared_node.http_port), "2", str(FLOOD_CONNECTIONS), *pages(shared_node)]
    subprocess.run(command, cwd=TESTS, check=True, capture_output=True)
    wait_until(lambda: answers(shared_node), seconds=20, what="a short flood keeps the port")
    time.sleep(0.5)
    return Cost(shared_node.pid)


@pytest.fixture
def undisturbed(node: NodeProgram, settled: Cost) -> Iterator[Bystander]:
    """Nothing of an attack is left in the node, and a known peer got every C-ECHO answered in time all along."""
    cost = settled
    threads, files = cost.threads, others(cost)
    with Bystander(node.port, pause_seconds=0.02) as bystander:
        yield bystander
    bystander.check(seconds=ECHO_SECONDS)

    def left() -> str:
        """What is more than before; a few threads are those of studies that came meanwhile."""
        more = {"threads": (cost.threads - threads, 8), "files": (others(cost) - files, 2)}
        return ", ".join(f"{count} {name}" for name, (count, most) in more.items() if count > most)

    with suppress(TimeoutError):
        wait_until(lambda: not left(), seconds=15, what="the attack left something")
    assert not left(), f"the attack left {left()}: {cost.open_files()}"
    assert max(cost.open_files().values()) <= MOST_CONNECTIONS


def others(cost: Cost) -> int:
    """Open files but those of connections to the ledger, whose pools keep as many as were needed at once."""
    return sum(count for name, count in cost.open_files().items() if "dokuei.db" not in name)


def test_g40_a_flood_of_requests_leaves_dicom_alone(
    node: NodeProgram, paths: list[str], undisturbed: Bystander
) -> None:
    command = [*FLOOD, str(node.http_port), str(FLOOD_SECONDS), str(FLOOD_CONNECTIONS)]
    with Growth(Cost(node.pid)) as growth:
        flood = subprocess.Popen([*command, *paths], cwd=TESTS, stdout=subprocess.PIPE, text=True)
        statuses = []
        with Peer(node.port) as peer:
            assert peer.associate().kind == ASSOCIATE_AC
            while flood.poll() is None:
                uid = f"1.2.40.{len(statuses) + 1}"
                statuses.append(peer.store(ct_object(uid=uid), sop_instance_uid=uid))
        said, _ = flood.communicate()
    counts = {name: int(number) for name, number in (word.split("=") for word in said.split())}
    asked = sum(counts.values())
    echoes = sorted(undisturbed.seconds)
    p99 = echoes[min(len(echoes) - 1, int(len(echoes) * 0.99))]
    sys.stdout.write(
        f"{asked / FLOOD_SECONDS:.0f} requests/s {counts}; {len(echoes)} C-ECHO, p99 {p99 * 1000:.0f} ms, "
        f"slowest {echoes[-1] * 1000:.0f} ms; {len(statuses)} C-STORE; +{growth.bytes / MIB:.1f} MiB\n"
    )
    assert asked > 300 * FLOOD_SECONDS, f"no flood: {counts}"
    assert set(counts) <= {"200", "503", "closed", "refused", "unread"}
    assert counts.get("200", 0)
    assert statuses
    assert set(statuses) == {0x0000}
    assert p99 < ECHO_SECONDS
    assert growth.bytes < 64 * MIB


def test_g40_slow_clients_are_cut_off_and_leave_dicom_alone(node: NodeProgram, undisturbed: Bystander) -> None:
    with ExitStack() as stack:
        for number in range(100):
            address = (f"127.0.2.{number % 20 + 1}", 0)
            slow = stack.enter_context(
                socket.create_connection(("127.0.0.1", node.http_port), 5, source_address=address)
            )
            with suppress(OSError):
                slow.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        began = time.monotonic()
        wait_until(lambda: answers(node), seconds=20, what="slow clients keep the port")
        assert time.monotonic() - began < 13


def answers(node: NodeProgram) -> bool:
    try:
        return node.http("/livez")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (4 * MIB) + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)) + b"\r\n",
        b"GET /" + b"a" * (4 * MIB) + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + bytes(MIB),
        b"\0" * MIB,
        b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(508),
    ],
    ids=["a header of megabytes", "headers", "a path of megabytes", "a body", "zeros", "chunks", "HTTP/2", "TLS"],
)  # fmt: skip
def test_g40_a_request_without_end_costs_nothing(
    node: NodeProgram, undisturbed: Bystander, request_bytes: bytes
) -> None:
    with Growth(Cost(node.pid)) as growth:
        answer = raw(node, request_bytes)
    assert growth.bytes < 16 * MIB
    assert status(answer) in {0, 200, 400, 414, 431, 501, 505}
    assert answers(node)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick[:30])
def test_g40_a_path_leads_to_a_page_or_nowhere(node: NodeProgram, trick: str) -> None:
    answer = raw(node, f"GET {trick} HTTP/1.0\r\n\r\n".encode())
    assert status(answer) in {400, 404, 414, 431}
    assert b"root:" not in answer
    assert trick.encode() not in answer.partition(b"\r\n\r\n")[0], "what was asked is not repeated in a header"


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_g40_only_get_and_head_are_served(node: NodeProgram, paths: list[str], method: str) -> None:
    for path in paths:
        answer = raw(node, f"{method} {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert status(answer) in {405, 501}, path
        assert b"dokuei_" not in answer


def test_g40_head_is_get_without_its_body(node: NodeProgram, paths: list[str]) -> None:
    for path in paths:
        head, _, body = raw(node, f"HEAD {path} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")
        assert status(head) in {200, 503}
        assert body == b""


def test_g40_an_answer_names_no_software_but_ours(node: NodeProgram, paths: list[str]) -> None:
    for path in [*paths, "/no-such-page"]:
        head = raw(node, f"GET {path} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")[0].lower()
        assert b"python" not in head
        assert b"server: dokuei" in head
