# SPDX-License-Identifier: Apache-2.0
"""An audit collector: a TLS listener that takes RFC 5425 frames apart, strictly."""

import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from harness.authority import Authority

HEADER = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S+) dokuei (\d+) DICOM\+RFC3881 "
    rb"\[meta sequenceId=\"(\d+)\"\] \xef\xbb\xbf(<AuditMessage.*)",
    re.DOTALL,
)


class FramingError(Exception):
    """The stream is not RFC 5425."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A syslog message as it came."""

    priority: int
    sequence: int
    xml: bytes


@dataclass
class Collector:
    """Listens on loopback until `close`; `start` again on the same port."""

    authority: Authority
    port: int = 0
    require_certificate: bool = True
    messages: list[Received] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    drop_after: int | None = None
    """Cut the connection, with a reset, after so many messages."""

    def start(self) -> "Collector":
        pair = self.authority.issue("collector.example")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(cafile=self.authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED if self.require_certificate else ssl.CERT_NONE
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._open: list[ssl.SSLSocket] = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def close(self) -> None:
        """Go away at once: the listener and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the accept that is under way, which close() does not
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self._open.append(connection)
                self._read(connection)
        except (OSError, ValueError):
            plain.close()
        except FramingError as error:
            self.errors.append(str(error))

    def _read(self, connection: ssl.SSLSocket) -> None:
        stream = connection.makefile("rb")
        while length := self._length(stream.read(1), stream):
            message = stream.read(length)
            if len(message) < length:
                raise FramingError(f"{length} octets announced, {len(message)} came")
            self._take(message)
            if self.drop_after is not None and len(self.messages) >= self.drop_after:
                self.drop_after = None
                plain = connection.detach()
                socket.close(plain)
                return
        with suppress(OSError):
            connection.unwrap()

    def _length(self, digits: bytes, stream: object) -> int:
        while digits and not digits.endswith(b" "):
            digits += stream.read(1)  # type: ignore[attr-defined]
            if not re.fullmatch(rb"[1-9]\d{0,8} ?", digits):
                raise FramingError(f"MSG-LEN is {digits!r}")
        return int(digits) if digits else 0

    def _take(self, message: bytes) -> None:
        found = HEADER.fullmatch(message)
        if found is None:
            raise FramingError(f"not RFC 5424: {message[:80]!r}")
        self.messages.append(Received(priority=int(found[1]), sequence=int(found[5]), xml=found[6]))
