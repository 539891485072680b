# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 connection of a client: h11 reads and writes it, this file bounds what it may cost."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import h11

CHUNK_BYTES = 262_144
HEADER_CHUNK_BYTES = 4_096
"""Read in small pieces, h11 sees a header that is too long before the rest of it has come."""
LINGER_SECONDS = 2.0
"""So long is read and thrown away what a refused client still sends: closing at once would destroy the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """What one client may cost.

    `idle_seconds` is the longest silence within a request; a body also has to come at `slowest_bytes_per_second` on
    average, after `grace_seconds`. Time that we take to store is not counted: a busy node slows its clients down.
    """

    connections: int = 32
    connections_per_address: int = 16
    header_bytes: int = 16_384
    header_seconds: float = 10
    keep_alive_seconds: float = 15
    idle_seconds: float = 30
    grace_seconds: float = 60
    slowest_bytes_per_second: int = 20_000
    answer_seconds: float = 30
    object_bytes: int = 2_147_483_648
    parts: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, with a body or without."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class WebLimitError(ConnectionError):
    """The client passed a limit; `reason` is a slug for the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Conversation:
    """Requests and answers on one connection, one after the other."""

    def __init__(self, connection: socket.socket, limits: WebLimits) -> None:
        self._socket = connection
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._first = True

    def request(self) -> h11.Request | None:
        """Return the next request, without its body; None when the client has no more.

        Raises
        ------
        h11.RemoteProtocolError
            It is no HTTP, or its header is too long.
        WebLimitError
            It did not come in time.
        """
        limits = self._limits
        ends = time.monotonic() + (limits.header_seconds if self._first else limits.keep_alive_seconds)
        self._first = False
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if not self._receive(HEADER_CHUNK_BYTES, ends):
                return None
        return event if isinstance(event, h11.Request) else None

    def body(self) -> Iterator[bytes]:
        """Yield the body as it comes; raises ConnectionError when it does not come whole and in time."""
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        received, waited = 0, 0.0
        while True:
            event = self._next_of_body()
            if event is h11.NEED_DATA:
                waited += self._wait(received, waited)
            elif isinstance(event, h11.Data):
                received += len(event.data)
                yield event.data
            else:
                return

    def answer(self, answer: Answer) -> None:
        """Send the response."""
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            *([] if self._is_read() else [("Connection", "close")]),
            *answer.headers,
        ]
        response = h11.Response(status_code=answer.status, headers=headers)
        self._send(response, *([h11.Data(data=answer.body)] if answer.body else []), h11.EndOfMessage())

    def go_on(self) -> bool:
        """Whether another request may come: this one was read to its end, and both sides mean to stay."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def part(self) -> None:
        """Let an answer arrive that was given before the request was read, before the connection is closed."""
        if self._http.their_state not in {h11.SEND_BODY, h11.ERROR}:
            return
        ends = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left := ends - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(CHUNK_BYTES):
                    return

    def _is_read(self) -> bool:
        """Whether the request is read to its end, without waiting for more of it."""
        with suppress(WebLimitError):
            while self._http.their_state is h11.SEND_BODY and self._next_of_body() is not h11.NEED_DATA:
                """What is here already is read over."""
        return self._http.their_state in {h11.DONE, h11.MUST_CLOSE}

    def _next_of_body(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise WebLimitError("protocol") from error

    def _wait(self, received: int, waited: float) -> float:
        limits, started = self._limits, time.monotonic()
        left = limits.grace_seconds + received / limits.slowest_bytes_per_second - waited
        if not self._receive(CHUNK_BYTES, started + min(limits.idle_seconds, left)):
            raise ConnectionResetError("the client closed the connection within a request")
        return time.monotonic() - started

    def _receive(self, size: int, ends: float) -> bool:
        """Read something; False when the client has closed."""
        left = ends - time.monotonic()
        if left <= 0:
            raise WebLimitError("request_time")
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(size)
        except TimeoutError:
            raise WebLimitError("request_time") from None
        except OSError as error:  # of TLS, among others, which a receiver would take for the disk's
            raise ConnectionResetError(str(error)) from error
        self._http.receive_data(data)
        return bool(data)

    def _send(self, *events: h11.Event) -> None:
        data = memoryview(b"".join(self._http.send(event) or b"" for event in events))
        ends = time.monotonic() + self._limits.answer_seconds
        while data:
            left = ends - time.monotonic()
            if left <= 0:
                raise WebLimitError("answer_time")
            self._socket.settimeout(left)
            data = data[self._socket.send(data) :]


def header(request: h11.Request, name: str) -> str:
    """Return a header's value, several joined by commas; "" when it is absent."""
    values: Sequence[bytes] = [value for key, value in request.headers if key == name.lower().encode()]
    return b", ".join(values).decode("latin-1")
