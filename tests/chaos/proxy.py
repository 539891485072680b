# SPDX-License-Identifier: Apache-2.0
"""A bad network: a TCP proxy that cuts, swallows, drips or delays what passes."""

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST instead of FIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the bytes of one direction."""

    cut_after_bytes: int | None = None
    """Both sides get a RST after so many bytes."""
    swallow_after_bytes: int | None = None
    """Nothing passes after so many bytes, and nobody is told."""
    drip_seconds: float = 0.0
    """Bytes pass one by one, so far apart."""
    delay_seconds: float = 0.0
    """Every piece is so late."""


class Proxy:
    """Listens on a free loopback port; `up` is what happens towards the server, `down` towards the client."""

    def __init__(self, server_port: int, *, up: Fault = Fault(), down: Fault = Fault()) -> None:
        self._server_port, self._up, self._down = server_port, up, down
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: object, _trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                cut = threading.Event()
                for source, sink, fault in ((client, server, self._up), (server, client, self._down)):
                    threading.Thread(target=self._pump, args=(source, sink, fault, cut), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, fault: Fault, cut: threading.Event) -> None:
        passed = 0
        with suppress(OSError):
            if fault.cut_after_bytes == 0:
                self._reset(cut, source, sink)
            while data := source.recv(1 if fault.drip_seconds else 65_536):
                time.sleep(fault.delay_seconds + fault.drip_seconds)
                passes = data[: _room(fault, passed)]
                sink.sendall(passes)
                passed += len(data)
                if fault.cut_after_bytes is not None and passed >= fault.cut_after_bytes:
                    self._reset(cut, source, sink)
            if not cut.is_set():  # else a FIN would overtake the RST
                sink.shutdown(socket.SHUT_WR)

    def _reset(self, cut: threading.Event, *both: socket.socket) -> None:
        cut.set()
        for each in both:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.shutdown(socket.SHUT_RD)  # wakes the other direction
        for each in both:
            each.close()


def _room(fault: Fault, passed: int) -> int | None:
    """Return how many bytes may still pass; None for all."""
    limits = [limit for limit in (fault.cut_after_bytes, fault.swallow_after_bytes) if limit is not None]
    return max(0, min(limits) - passed) if limits else None
