# SPDX-License-Identifier: Apache-2.0
"""The HTTP port: /metrics, /livez and /readyz, GET and HEAD, and nothing else."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from service.observability.health import Health, Report
from service.settings import HttpSettings

CONNECTIONS = 32
CONNECTION_SECONDS = 10
"""The whole of a connection, request and answer; a slow client is cut off, whatever it drips."""
READ_SECONDS = 5
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HttpServer:
    """Serves metrics and health in threads of its own.

    Parameters
    ----------
    live
        Fails only when the process must be restarted.
    ready
        Fails while the node takes no studies in.
    """

    def __init__(self, settings: HttpSettings, *, registry: CollectorRegistry, live: Health, ready: Health) -> None:
        self._settings = settings
        self._registry = registry
        self._pages: dict[str, Callable[[str], Page]] = {
            "/metrics": self._metrics,
            "/livez": lambda _accept: _health_page(live.report()),
            "/readyz": lambda _accept: _health_page(ready.report()),
        }
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when the port is taken."""
        self._server = _Server((self._settings.host, self._settings.port), self._page)
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _page(self, path: str, accept: str) -> Page:
        make = self._pages.get(path.partition("?")[0])
        if make is None:
            return Page(HTTPStatus.NOT_FOUND, "text/plain", b"paths: /metrics /livez /readyz\n")
        return make(accept)

    def _metrics(self, accept: str) -> Page:
        encode, content_type = choose_encoder(accept)
        return Page(HTTPStatus.OK, content_type, encode(self._registry))


def _health_page(report: Report) -> Page:
    status = HTTPStatus.OK if report.well else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, "application/json", json.dumps(report.document()).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], page: Callable[[str, str], Page]) -> None:
        self.page = page
        self._opened: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        del client_address
        with self._lock:
            if len(self._opened) >= CONNECTIONS:
                return False
            self._opened[request] = time.monotonic()
            return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._opened.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off the connections that take too long; called at every poll."""
        ends = time.monotonic() - CONNECTION_SECONDS
        with self._lock:
            late = [request for request, opened in self._opened.items() if opened < ends]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no event of ours, and the stock method prints a traceback."""


class _RequestHandler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_SECONDS
    server_version = "dokuei"
    sys_version = ""

    def do_GET(self) -> None:
        page = self._send_head()
        self.wfile.write(page.body)

    def do_HEAD(self) -> None:
        self._send_head()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: scrapes are no events."""

    def _send_head(self) -> Page:
        page = self.server.page(self.path, self.headers.get("Accept", ""))
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        return page
