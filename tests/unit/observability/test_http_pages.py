# SPDX-License-Identifier: Apache-2.0
"""The HTTP port answers what it must, refuses the rest, and survives clients that do not play along."""

import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from service.domain.errors import StorageError
from service.observability import http as http_port
from service.observability.health import Health
from service.observability.http import HttpServer
from service.observability.metrics import Metrics
from service.settings import HttpSettings


class Problems:
    """Checks that a test can break."""

    def __init__(self) -> None:
        self.draining = ""
        self.note = ""
        self.ledger: Exception | None = None

    def check_draining(self) -> str:
        return self.draining

    def check_ledger(self) -> str:
        if self.ledger:
            raise self.ledger
        return ""


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def server(problems: Problems) -> Iterator[HttpServer]:
    health = Health()
    health.add_live("flow", lambda: "")
    health.add_ready("draining", problems.check_draining)
    health.add_ready("ledger", problems.check_ledger)
    health.add_note("inference", lambda: problems.note)
    settings = HttpSettings.model_construct(host="127.0.0.1", port=0)
    server = HttpServer(settings, health=health, registry=Metrics().registry)
    server.start()
    yield server
    server.stop()


def ask(server: HttpServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_metrics_in_the_classic_format(server: HttpServer) -> None:
    response, body = ask(server, "/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert b"# TYPE dokuei_associations_total counter" in body


def test_metrics_in_openmetrics(server: HttpServer) -> None:
    response, body = ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_metrics_compressed(server: HttpServer) -> None:
    response, body = ask(server, "/metrics", **{"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert b"# TYPE dokuei_associations_total counter" in gzip.decompress(body)


@pytest.mark.parametrize("version", ["abc", "", "9", "1.0.0;escaping=x"])
def test_odd_openmetrics_versions_still_get_metrics(server: HttpServer, version: str) -> None:
    response, body = ask(server, "/metrics", Accept=f"application/openmetrics-text; version={version}")
    assert response.status == 200
    assert b"dokuei_associations" in body


def test_a_folded_header_cannot_add_headers_to_the_answer(server: HttpServer) -> None:
    text = "application/openmetrics-text; version=1.0.0\r\n Set-Cookie: a=b"
    head = exchange(server, f"GET /metrics HTTP/1.0\r\nAccept: {text}\r\n\r\n".encode()).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.0 200")
    assert not [line for line in head.splitlines() if line.lstrip().startswith(b"Set-Cookie")]


def exchange(server: HttpServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_request_that_is_too_long_is_refused(server: HttpServer) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(17))
    answer = exchange(server, b"GET /metrics HTTP/1.0\r\n" + headers)
    assert answer.startswith(b"HTTP/1.0 431")


def test_nothing_is_written_about_requests(server: HttpServer, capfd: pytest.CaptureFixture[str]) -> None:
    ask(server, "/metrics")
    ask(server, "/nothing")
    exchange(server, b"\x16\x03\x01 what is this\r\n\r\n")
    assert capfd.readouterr() == ("", "")


def test_one_slow_client_does_not_block_another(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(b"GET /met")
        started = time.monotonic()
        assert ask(server, "/livez")[0].status == 200
        assert time.monotonic() - started < 2


def test_the_port_is_closed_after_stop(server: HttpServer) -> None:
    port = server.port
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_livez_and_readyz_are_well(server: HttpServer) -> None:
    for path in ("/livez", "/readyz"):
        response, body = ask(server, path)
        assert (response.status, json.loads(body)["status"]) == (200, "ok")


def test_readyz_says_what_is_wrong(server: HttpServer, problems: Problems) -> None:
    problems.draining = "the node is draining"
    problems.ledger = StorageError("the ledger is read-only")
    response, body = ask(server, "/readyz")
    assert response.status == 503
    assert json.loads(body) == {
        "status": "failed",
        "checks": {"draining": "the node is draining", "ledger": "the ledger is read-only"},
    }
    assert ask(server, "/livez")[0].status == 200


def test_head_has_the_length_and_no_body(server: HttpServer) -> None:
    head, _, body = exchange(server, b"HEAD /metrics HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"Content-Length: 0" not in head
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_not_served(server: HttpServer, method: str) -> None:
    response, _ = ask(server, "/metrics", method=method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/../metrics", "/metrics/", "/livez/x"])
def test_other_paths_are_not_served(server: HttpServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


def test_slow_clients_are_cut_off_and_harm_nobody(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "CONNECTION_SECONDS", 1)
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(http_port.CONNECTIONS)]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            if ask(server, "/livez")[0].status == 200:
                break
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    else:
        pytest.fail("slow clients keep the port busy")
    for connection in slow:
        connection.close()


def test_a_note_is_shown_and_does_not_make_the_node_unready(server: HttpServer, problems: Problems) -> None:
    assert "notes" not in json.loads(ask(server, "/readyz")[1])
    problems.note = "film 1.0.0 runs on cpu, not on cuda"
    response, body = ask(server, "/readyz")
    assert response.status == 200
    assert json.loads(body)["notes"] == {"inference": "film 1.0.0 runs on cpu, not on cuda"}
    assert "notes" not in json.loads(ask(server, "/livez")[1])
