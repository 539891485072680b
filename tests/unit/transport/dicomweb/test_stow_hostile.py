# SPDX-License-Identifier: Apache-2.0
"""The STOW-RS server and clients that break off, lie, drip or ask for too much."""

import gzip
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.phantom import ct_slice
from harness.processes import wait_until
from harness.stow import (
    BOUNDARY,
    CONTENT_TYPE,
    TOKEN,
    StowNode,
    multipart,
    open_socket,
    post,
    read_all,
    request_head,
)
from service.domain.event import ConnectionDropped, InstanceReceived
from service.ports import IncomingInstance, StoreOutcome
from service.transport.dicomweb.conversation import WebLimits

StartNode = Callable[..., StowNode]
CUTS = 60


def dropped(node: StowNode) -> list[str]:
    return [event.reason for event in node.observer.of(ConnectionDropped)]


def uid_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_connection_cut_anywhere_leaves_whole_instances_or_nothing(node: StowNode, tmp_path: Path) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", rows=400) for number in range(3)]
    whole = request_head(len(multipart(path.read_bytes() for path in paths)))
    body = multipart(path.read_bytes() for path in paths)
    cuts = random.Random(3).sample(range(len(body)), CUTS)
    for cut in cuts:
        with open_socket(node.server.port) as connection:
            connection.sendall(whole + body[:cut])
            connection.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 2" not in read_all(connection)
    assert node.leftovers() == []
    assert all(len(dcmread(path).PixelData) == 320_000 for path in node.stored().values())
    assert set(node.stored()) <= {uid_of(path) for path in paths}
    assert dropped(node).count("connection") == CUTS
    assert post(node.server.port, body).status == 200
    assert len(node.stored()) == 3


def test_a_body_without_its_last_boundary_stores_the_parts_that_came_whole(node: StowNode, tmp_path: Path) -> None:
    first, second = (ct_slice(tmp_path / f"{number}.dcm", rows=400) for number in range(2))
    body = multipart([first.read_bytes(), second.read_bytes()])
    answer = post(node.server.port, body[: -len(BOUNDARY) - 8])
    assert (answer.status, answer.stored, answer.failed) == (202, [uid_of(first)], {uid_of(second): 0xC000})
    assert list(node.stored()) == [uid_of(first)]
    answer = post(node.server.port, multipart([second.read_bytes()])[:-300])
    assert (answer.status, answer.stored, answer.failed) == (400, [], {uid_of(second): 0xC000})
    answer = post(node.server.port, multipart([second.read_bytes()])[:200])
    assert (answer.status, answer.stored, answer.others) == (400, [], [0xC000])
    assert node.leftovers() == []


@pytest.mark.parametrize("body", [b"", b"--other\r\n\r\nx\r\n--other--", b"\0" * 100_000, multipart([])])
def test_a_body_without_parts_is_a_bad_request(node: StowNode, body: bytes) -> None:
    answer = post(node.server.port, body)
    assert (answer.status, answer.stored) == (400, [])


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 415),
        ("application/dicom", 415),
        ("multipart/form-data; boundary=x", 415),
        (f'multipart/related; type="application/dicom+json"; boundary={BOUNDARY}', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=""', 400),
        (f'multipart/related; type="application/dicom"; boundary={"x" * 300}', 400),
    ],
)
def test_a_content_type_that_is_not_the_one_is_refused(node: StowNode, content_type: str | None, status: int) -> None:
    assert post(node.server.port, multipart([b"x"]), Content_Type=content_type).status == status


def test_a_compressed_body_is_refused_unread(node: StowNode) -> None:
    bomb = gzip.compress(bytes(1 << 20))
    assert post(node.server.port, bomb, Content_Encoding="gzip").status == 415


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: application/dicom\r\nContent-Encoding: gzip",
        "Content-Type: text/plain",
        "Content-Type: application/dicom\r\nContent-Transfer-Encoding: base64",
    ],
)
def test_a_wrapped_part_is_refused(node: StowNode, tmp_path: Path, headers: str) -> None:
    answer = post(node.server.port, multipart([ct_slice(tmp_path / "a.dcm").read_bytes()], headers=headers))
    assert (answer.status, answer.others) == (409, [0xC000])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/studies",
        "/dicom-web",
        "/dicom-web/studies/",
        "/dicom-web/studies/../studies",
        "/dicom-web/studies/..%2f..%2fetc",
        "/dicom-web/studies/%31.2",
        "/dicom-web/studies/1.2/series/3",
        "/dicom-web/studies/" + "1" * 65,
        "/dicom-web//studies",
        "http://elsewhere/dicom-web/studies",
        "/dicom-web/studies\\1.2",
    ],
)
def test_no_other_path_is_served(node: StowNode, path: str) -> None:
    assert post(node.server.port, multipart([b"x"]), path=path).status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "TRACE", "CONNECT"])
def test_no_other_method_is_served(node: StowNode, method: str) -> None:
    answer = post(node.server.port, b"", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")


def test_ten_thousand_parts_are_answered_one_by_one(node: StowNode) -> None:
    answer = post(node.server.port, multipart([b"x"] * 10_000))
    assert (answer.status, len(answer.others)) == (409, 10_000)


def test_more_parts_than_a_request_may_have_are_not_read(start: StartNode, tmp_path: Path) -> None:
    node = start(limits=WebLimits(parts=2))
    parts = [ct_slice(tmp_path / f"{number}.dcm").read_bytes() for number in range(4)]
    answer = post(node.server.port, multipart(parts))
    assert (answer.status, len(answer.stored)) == (413, 2)
    assert len(node.stored()) == 2


def test_an_object_longer_than_the_bound_is_not_read(start: StartNode, tmp_path: Path) -> None:
    node = start(limits=WebLimits(object_bytes=500_000))
    small, large = ct_slice(tmp_path / "a.dcm"), ct_slice(tmp_path / "b.dcm", rows=1024)
    answer = post(node.server.port, multipart([small.read_bytes(), large.read_bytes()]))
    assert (answer.status, answer.stored, answer.failed) == (413, [uid_of(small)], {uid_of(large): 0xC000})
    assert node.leftovers() == []


def test_a_header_that_never_ends_is_cut_off(node: StowNode) -> None:
    with open_socket(node.server.port) as connection:
        connection.sendall(b"POST /dicom-web/studies HTTP/1.1\r\nHost: node\r\n")
        answer = b""
        try:
            for number in range(10_000):
                connection.sendall(f"X-{number}: {'x' * 100}\r\n".encode())
        except OSError:
            pass
        with open_socket(node.server.port) as second:
            second.sendall(b"POST /" + b"x" * 20_000)
            answer = read_all(second)
    assert answer.startswith(b"HTTP/1.1 431")
    wait_until(lambda: dropped(node).count("protocol") == 2, seconds=10, what="not reported")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
    ],
)
def test_what_is_no_http_is_refused(node: StowNode, garbage: bytes) -> None:
    with open_socket(node.server.port) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection)[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 401"}
    assert post(node.server.port, b"", method="OPTIONS").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: chunked, gzip",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: 1e3",),
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_refused(node: StowNode, lines: tuple[str, ...]) -> None:
    head = request_head(0).replace(b"Content-Length: 0\r\n", "".join(f"{line}\r\n" for line in lines).encode())
    with open_socket(node.server.port) as connection:
        connection.sendall(head + b"xxxxx")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 501"}


def test_a_request_that_drips_is_cut_off(start: StartNode) -> None:
    node = start(limits=WebLimits(header_seconds=0.5))
    with open_socket(node.server.port) as connection:
        started = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(connection, request_head(0) * 10)
    assert time.monotonic() - started < 5
    assert dropped(node) == ["request_time"]


@pytest.mark.parametrize(
    "limits",
    [WebLimits(idle_seconds=0.5), WebLimits(idle_seconds=5, grace_seconds=0.5, slowest_bytes_per_second=1_000_000)],
    ids=["silence", "drip"],
)
def test_a_body_that_does_not_come_is_cut_off(start: StartNode, tmp_path: Path, limits: WebLimits) -> None:
    node = start(limits=limits)
    body = multipart([ct_slice(tmp_path / "a.dcm", rows=400).read_bytes()])
    with open_socket(node.server.port) as connection:
        connection.sendall(request_head(len(body)) + body[:100_000])
        started = time.monotonic()
        if limits.idle_seconds > 1:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                drip(connection, b"x" * 100)
        else:
            assert read_all(connection) == b""
    assert time.monotonic() - started < 4
    assert dropped(node) == ["request_time"]
    assert (node.leftovers(), node.stored()) == ([], {})


def test_a_client_is_not_blamed_for_our_own_slowness(start: StartNode, tmp_path: Path) -> None:
    def slow(incoming: IncomingInstance) -> StoreOutcome:
        for _ in incoming.dataset:
            time.sleep(0.3)
        return StoreOutcome.STORED

    node = start(receiver=slow, limits=WebLimits(idle_seconds=0.5, grace_seconds=0.5))
    assert post(node.server.port, multipart([ct_slice(tmp_path / "a.dcm", rows=1024).read_bytes()])).status == 200


def test_one_address_cannot_take_every_connection(start: StartNode) -> None:
    node = start(limits=WebLimits(connections=4, connections_per_address=2))
    held = [open_socket(node.server.port) for _ in range(2)]
    with open_socket(node.server.port) as third:
        assert third.recv(1) == b""
    assert dropped(node) == ["connections_per_address"]
    for connection in held:
        connection.close()
    wait_until(lambda: _is_served(node), seconds=10, what="no room again")


def _is_served(node: StowNode) -> bool:
    try:
        return post(node.server.port, b"", method="OPTIONS").status == 200
    except OSError:
        return False


def test_a_refused_client_that_goes_on_sending_still_reads_its_answer(node: StowNode) -> None:
    with open_socket(node.server.port) as connection:
        connection.sendall(request_head(1 << 30).replace(TOKEN.encode(), b"wrong") + b"x" * 5_000_000)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("chunked", [False, True])
def test_memory_does_not_grow_with_the_object(node: StowNode, tmp_path: Path, chunked: bool) -> None:
    head, tail, size = _large(tmp_path / "large.dcm", 200_000_000)
    post(node.server.port, multipart([ct_slice(tmp_path / "warm.dcm").read_bytes()]))
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    length = len(head) + size + len(tail)
    extra: dict[str, str] = {} if chunked else {"Content_Length": str(length)}
    answer = post(node.server.port, _stream(head, size, tail), chunked=chunked, **extra)
    assert answer.status == 200
    (path,) = [path for path in node.stored().values() if path.stat().st_size > size]
    assert path.stat().st_size >= size
    assert _peak_bytes() - before < 64_000_000


def _large(path: Path, size: int) -> tuple[bytes, bytes, int]:
    """A multipart body around an object with `size` bytes of pixels."""
    ct_slice(path, rows=16)
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00OW\0\0")
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return head + content[: at + 8] + size.to_bytes(4, "little"), f"\r\n--{BOUNDARY}--\r\n".encode(), size


def _stream(head: bytes, size: int, tail: bytes) -> Iterator[bytes]:
    yield head
    block = bytes(1 << 20)
    for start in range(0, size, len(block)):
        yield block[: min(len(block), size - start)]
    yield tail


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_no_identity_is_in_events(node: StowNode, tmp_path: Path) -> None:
    path = ct_slice(tmp_path / "a.dcm", study_uid="1.2.3.4.5.6")
    post(
        node.server.port, multipart([path.read_bytes(), path.read_bytes()[:-50]]), path="/dicom-web/studies/1.2.3.4.5.6"
    )
    told = repr(node.observer.events)
    assert len(node.observer.of(InstanceReceived)) == 2
    assert "ZZMARKER" not in told
    assert "1.2.3.4.5.6" not in told
    assert uid_of(path) not in told
    assert CONTENT_TYPE not in told
