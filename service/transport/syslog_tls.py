# SPDX-License-Identifier: Apache-2.0
"""The audit collector over syslog-TLS (PS3.15 A.6, RFC 5425)."""

import fcntl
import os
import socket
import ssl
import struct
import sys
import termios
from collections.abc import Sequence

from service.audit.syslog import frame
from service.domain.audit import AuditEntry
from service.domain.errors import DeliveryError
from service.ports import Observer
from service.settings import AuditSettings
from service.transport.deadline import deadline
from service.transport.tcp import tune
from service.transport.tls import TlsClient, TlsError, failure_word


class CollectorError(DeliveryError):
    """The collector did not take the messages; `reason` is a slug."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the audit collector {where} cannot be used ({reason}); check audit.host, audit.port, its certificate and "
            "that it runs"
        )
        self.reason = reason


class SyslogTls:
    """`ports.AuditCollector`; for one thread."""

    def __init__(self, settings: AuditSettings, *, host: str, observer: Observer) -> None:
        self._settings = settings
        self._host = host
        self._tls = TlsClient(settings.tls, host=settings.host, observer=observer, name="audit")
        self._connection: ssl.SSLSocket | None = None

    def send(self, entries: Sequence[AuditEntry]) -> None:
        """Write the messages, within the configured time and a second for every 100 kB."""
        process = str(os.getpid())
        data = b"".join(frame(entry, host=self._host, process_id=process) for entry in entries)
        connection = self._connection or self._connect()
        try:
            with deadline(self._settings.timeout_seconds + len(data) / 100_000, lambda: connection):
                connection.sendall(data)
        except OSError as error:
            raise self._broken(error) from error

    def has_all(self) -> bool:
        """Say whether everything written was acknowledged by the other side's TCP."""
        connection = self._connection
        if connection is None:
            return True
        try:
            if _ended(connection):
                raise self._broken(ConnectionResetError())
            return _unacknowledged_bytes(connection) == 0
        except OSError as error:
            raise self._broken(error) from error

    def probe(self) -> None:
        """Connect, see whether the other side lets us, and close; raises DeliveryError."""
        self._connect()
        try:
            self.has_all()
        finally:
            self.close()

    def close(self) -> bool:
        """Send close_notify (RFC 5425 section 4.4) and wait for the other side's end."""
        connection, self._connection = self._connection, None
        if connection is None:
            return True
        with connection:
            connection.settimeout(self._settings.timeout_seconds)
            return _closed_in_order(connection)

    def _connect(self) -> ssl.SSLSocket:
        settings = self._settings
        try:
            plain = socket.create_connection((settings.host, settings.port), timeout=settings.timeout_seconds)
            tune(plain)
            self._connection = self._tls.connect(plain, seconds=settings.timeout_seconds)
        except TlsError as error:
            raise CollectorError(self._where, error.reason) from error
        except OSError as error:
            raise CollectorError(self._where, "unreachable") from error
        return self._connection

    def _broken(self, error: OSError) -> CollectorError:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return CollectorError(self._where, failure_word(error))

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"


def _ended(connection: ssl.SSLSocket) -> bool:
    """Whether the other side has ended the connection; it never has anything else to say."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except ssl.SSLWantReadError:
        return False
    finally:
        connection.setblocking(True)


def _unacknowledged_bytes(connection: ssl.SSLSocket) -> int:
    if not sys.platform.startswith("linux"):
        return 0  # other systems do not tell; the time until a message is forgotten must be enough
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _closed_in_order(connection: ssl.SSLSocket) -> bool:
    """Whether the other side answered our end with its own: it has then read everything before it."""
    try:
        connection.unwrap().close()
    except ssl.SSLEOFError:
        return True  # it closed TCP without close_notify, as many collectors do, but after reading to the end
    except (OSError, ValueError):
        return False
    return True
