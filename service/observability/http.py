# SPDX-License-Identifier: Apache-2.0
"""The HTTP port: /metrics, /livez and /readyz for GET and HEAD, the pages that it is given, and nothing else.

With `tls` a second port shows the same over TLS.
"""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from socketserver import TCPServer
from typing import Any, Protocol

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import CollectorRegistry

from service.observability.health import Health
from service.ports.pages import Page, Pages, Request
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


def _no_pages(_request: Request) -> Page | None:
    """Return no page."""


class Secures(Protocol):
    """The listening side of TLS."""

    def wrap(self, connection: socket.socket) -> Any:
        """Return the connection as TLS; nothing is sent or read until `handshake`."""

    def handshake(self, connection: Any, *, address: str = "") -> None:
        """Do the handshake within a deadline of its own; raises when it fails."""


OwnPages = Mapping[str, Callable[[Request], Page]]


class HttpServer:
    """Serves metrics and health in threads of its own.

    Parameters
    ----------
    pages
        Further pages; asked for every path that is none of the port's own.
    tls
        What `settings.tls` was made into.
    """

    def __init__(
        self,
        settings: HttpSettings,
        *,
        health: Health,
        registry: CollectorRegistry,
        pages: Pages = _no_pages,
        tls: Secures | None = None,
    ) -> None:
        self._settings = settings
        self._own: OwnPages = {
            "/metrics": partial(_metrics_page, registry),
            "/livez": lambda _request: _health_page(*health.live()),
            "/readyz": lambda _request: _health_page(*health.ready(), notes=health.notes()),
        }
        self._pages = pages
        self._tls = tls
        self._servers: list[_Server] = []

    @property
    def port(self) -> int:
        """The port that it listens on; the configured one before `start`."""
        return int(self._servers[0].server_address[1]) if self._servers else self._settings.port

    @property
    def tls_port(self) -> int:
        """The port that it listens on for TLS; 0 where there is none."""
        return int(self._servers[1].server_address[1]) if len(self._servers) > 1 else 0

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when a port is taken."""
        self._listen(self._settings.port, None)
        if self._tls is not None and self._settings.tls is not None:
            try:
                self._listen(self._settings.tls.port, self._tls)
            except OSError:
                self.stop()
                raise

    def stop(self) -> None:
        """Close the ports."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.shutdown()
            server.server_close()

    def _listen(self, port: int, tls: Secures | None) -> None:
        server = _Server((self._settings.host, port), self._page, tls)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True).start()

    def _page(self, request: Request) -> Page:
        make = self._own.get(request.path)
        return make(request) if make else self._pages(request) or _not_found()


def _metrics_page(registry: CollectorRegistry, request: Request) -> Page:
    accepted = request.header("accept")
    # The client's own words are not passed on: prometheus_client fails on some versions and repeats others.
    encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS_TYPE in accepted else "")
    body = encode(registry)
    if gzip_accepted(request.header("accept-encoding")):
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

    def __init__(self, address: tuple[str, int], page: Callable[[Request], Page], tls: Secures | None) -> None:
        self.page = page
        self.secure = tls is not None
        self._tls = tls
        self._opened: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; its handshake takes place in its own thread."""
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            return self._tls.wrap(connection), address
        except (OSError, ValueError):
            connection.close()
            raise OSError("no TLS for a connection") from None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a client; runs in the connection's own thread."""
        if self._tls is not None:
            self._tls.handshake(request, address=client_address[0])
        super().finish_request(request, client_address)

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

    def server_bind(self) -> None:
        """Listen; http.server would ask a name server who we are first, and wait where none answers."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

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
        page = self.server.page(self._request())
        self._send_head_of(page)
        self.wfile.write(page.body)

    def do_HEAD(self) -> None:
        self._send_head_of(self.server.page(self._request()))

    def _refuse_method(self) -> None:
        page = Page(HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, b"methods: GET HEAD\n")
        self._send_head_of(replace(page, headers=(("Allow", "GET, HEAD"),)))
        self.wfile.write(page.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: scrapes are no events."""

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        names = {name.lower() for name in self.headers}
        return Request(
            path=path,
            query=query,
            headers={name: tuple(map(str, self.headers.get_all(name, ()))) for name in names},
            address=str(self.client_address[0]),
            secure=self.server.secure,
        )

    def _send_head_of(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        if page.encoding:
            self.send_header("Content-Encoding", page.encoding)
        for name, value in page.headers:
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
