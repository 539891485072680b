# SPDX-License-Identifier: Apache-2.0
"""The HTTP port: /metrics, /livez and /readyz for GET and HEAD, and nothing else."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from typing import Any

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import CollectorRegistry

from service.observability.health import Health
from service.settings import HttpSettings

CONNECTIONS = 32
"""As many threads; a further connection is closed at once."""
CONNECTION_SECONDS = 10
"""The whole of a connection, request and answer: a client that drips bytes is cut off."""
READ_SECONDS = 5
REQUEST_BYTES = 16_384
POLL_SECONDS = 0.2
NO_NOTES: Mapping[str, str] = {}
PLAIN = "text/plain; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text"
OPENMETRICS = f"{OPENMETRICS_TYPE}; version=1.0.0"


@dataclass(frozen=True, slots=True)
class Request:
    """What an answer depends on."""

    accept: str
    accept_encoding: str


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes
    encoding: str = ""


Pages = Mapping[str, Callable[[Request], Page]]


class HttpServer:
    """Serves metrics and health in threads of its own."""

    def __init__(self, settings: HttpSettings, *, health: Health, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._pages: Pages = {
            "/metrics": partial(_metrics_page, registry),
            "/livez": lambda _request: _health_page(*health.live()),
            "/readyz": lambda _request: _health_page(*health.ready(), notes=health.notes()),
        }
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; the configured one before `start`."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when the port is taken."""
        self._server = _Server((self._settings.host, self._settings.port), self._pages)
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _metrics_page(registry: CollectorRegistry, request: Request) -> Page:
    # The client's own words are not passed on: prometheus_client fails on some versions and repeats others.
    encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS_TYPE in request.accept else "")
    body = encode(registry)
    if gzip_accepted(request.accept_encoding):
        return Page(HTTPStatus.OK, content_type, gzip.compress(body), encoding="gzip")
    return Page(HTTPStatus.OK, content_type, body)


def _health_page(well: bool, checks: Mapping[str, str], *, notes: Mapping[str, str] = NO_NOTES) -> Page:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    document = {"status": "ok" if well else "failed", "checks": checks, **({"notes": notes} if notes else {})}
    return Page(status, "application/json", json.dumps(document).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.pages = pages
        self._opened: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Whether there is room for one more connection."""
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
    error_content_type = PLAIN
    error_message_format = "%(code)d %(message)s\n"

    def setup(self) -> None:
        """Limit what is read of a request."""
        super().setup()
        self.rfile: Any = _Limited(self.rfile, REQUEST_BYTES)

    def do_GET(self) -> None:
        page = self._send_head()
        self.wfile.write(page.body)

    def do_HEAD(self) -> None:
        self._send_head()

    def _refuse_method(self) -> None:
        page = Page(HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, b"methods: GET HEAD\n")
        self._send_head_of(page, Allow="GET, HEAD")
        self.wfile.write(page.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: scrapes are no events."""

    def _send_head(self) -> Page:
        make = self.server.pages.get(self.path.partition("?")[0])
        page = make(self._request()) if make else _not_found()
        self._send_head_of(page)
        return page

    def _request(self) -> Request:
        get = self.headers.get
        return Request(accept=get("Accept", ""), accept_encoding=get("Accept-Encoding", ""))

    def _send_head_of(self, page: Page, **more: str) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        if page.encoding:
            self.send_header("Content-Encoding", page.encoding)
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()


def _not_found() -> Page:
    return Page(HTTPStatus.NOT_FOUND, PLAIN, b"paths: /metrics /livez /readyz\n")


class _Limited:
    """Reads lines of a request until it has read too much: 100 headers of 64 KiB each would be allowed otherwise."""

    def __init__(self, stream: BufferedReader, limit_bytes: int) -> None:
        self._stream = stream
        self._left_bytes = limit_bytes

    def readline(self, limit: int = -1) -> bytes:
        """Read a line; raises LineTooLong, which the server answers with 431, past the limit."""
        bound = self._left_bytes + 1
        line = self._stream.readline(bound if limit < 0 else min(limit, bound))
        self._left_bytes -= len(line)
        if self._left_bytes < 0:
            raise LineTooLong("request")
        return line

    def close(self) -> None:
        """Close the connection's reading half."""
        self._stream.close()
