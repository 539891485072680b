# SPDX-License-Identifier: Apache-2.0
"""The HTTP port answers what it must, refuses the rest, and survives clients that do not play along."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.domain.errors import StorageError
from service.observability import http as http_port
from service.observability.health import Health, disk_check
from service.observability.http import HttpServer
from service.observability.metrics import Metrics
from service.settings import HttpSettings


class Problems:
    """Checks that a test can break."""

    def __init__(self) -> None:
        self.draining = ""
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
    registry = CollectorRegistry()
    Metrics(registry)
    server = HttpServer(
        HttpSettings.model_construct(host="127.0.0.1", port=0),
        registry=registry,
        live=Health({}),
        ready=Health({"draining": problems.check_draining, "ledger": problems.check_ledger}),
    )
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
        "checks": {"draining": "the node is draining", "ledger": "StorageError: the ledger is read-only"},
    }
    assert ask(server, "/livez")[0].status == 200


def test_head_has_the_length_and_no_body(server: HttpServer) -> None:
    response, body = ask(server, "/metrics", method="HEAD")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 0
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_served(server: HttpServer, method: str) -> None:
    assert ask(server, "/metrics", method=method)[0].status == 501


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/../metrics", "/metrics/", "/livez/x"])
def test_other_paths_are_not_served(server: HttpServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


def test_disk_check(tmp_path: Path) -> None:
    assert disk_check(tmp_path, reserve_bytes=1)() == ""
    assert "below storage.reserve_bytes" in disk_check(tmp_path, reserve_bytes=10**18)()
    report = Health({"disk": disk_check(tmp_path / "absent", reserve_bytes=1)}).report()
    assert not report.well
    assert "FileNotFoundError" in report.checks["disk"]


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
