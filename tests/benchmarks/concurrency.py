# SPDX-License-Identifier: Apache-2.0
"""Three ways to serve many associations at once, side by side: a thread each, a process each, one event loop.

Each negotiates, writes the data set of every C-STORE to a new file, computes its SHA-256 and answers 0x0000; nothing
is flushed. The figures are in docs/decisions/0004. `python -m tests.benchmarks.concurrency threads|forked|asyncio PORT
FOLDER` serves until SIGTERM; tests/benchmarks/blast.c is the sender that never limits.
"""

import asyncio
import hashlib
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.transport.acceptor import Answer, Association, Message, echo
from service.transport.connection import Connection, Limits
from service.transport.dimse import CommandField, decode_command, response
from service.transport.negotiation import Accepted, accept, decode_request, silence_pynetdicom
from service.transport.pdu import RELEASE_RP, PduType, p_data_header
from service.transport.server import ConnectionCounts, Server
from service.transport.sop_classes import INPUT_SOP_CLASSES, accepted_contexts

LIMITS = Limits(connections=256, connections_per_address=256)
CONTEXTS = accepted_contexts(INPUT_SOP_CLASSES, SUPPORTED_TRANSFER_SYNTAXES)


class Sink:
    """A file and its digest."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / f"{uuid4().hex}.dcm", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._digest = hashlib.sha256()

    def write(self, chunk: memoryview) -> None:
        os.write(self._descriptor, chunk)
        self._digest.update(chunk)

    def close(self) -> None:
        os.close(self._descriptor)
        self._digest.hexdigest()


class Session:
    """Stores for anybody (`acceptor.Services`)."""

    draining = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.handlers: dict[int, Callable[[Message, Answer], None]] = {
            CommandField.C_ECHO: echo,
            CommandField.C_STORE: self._store,
        }

    def dropped(self, reason: str) -> None:
        """Ignore it."""

    def admit(self, body: bytes) -> tuple[bytes, Mapping[int, Accepted]]:
        return accept(decode_request(body), CONTEXTS, max_pdu_bytes=LIMITS.pdu_bytes)

    def _store(self, message: Message, answer: Answer) -> None:
        sink = Sink(self._folder)
        for chunk in message.data_set:
            sink.write(chunk)
        sink.close()
        answer(response(message.command, 0))


def serve_threads(port: int, folder: Path) -> None:
    """A thread for each association, as the node does it."""

    def serve(connection: socket.socket, _address: str) -> None:
        Association(Connection(connection), Session(folder), limits=LIMITS).run()

    counts = ConnectionCounts(LIMITS, is_known=lambda _address: True)
    Server("127.0.0.1", port, serve=serve, dropped=print, counts=counts).start()
    threading.Event().wait()


def serve_forked(port: int, folder: Path) -> None:
    """A process for each association, forked when it is accepted, as DCMTK does it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        Association(Connection(connection), Session(folder), limits=LIMITS).run()
        os._exit(0)


class EventLoopAssociation(asyncio.BufferedProtocol):
    """The same association as a state machine over one reused buffer; for valid peers only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer = memoryview(bytearray(262_144))
        self._filled = 0
        self._parser = self._parse()
        self._wanted = next(self._parser)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        start = 0
        while self._filled > start and (self._wanted < 0 or self._filled - start >= self._wanted):
            taken = min(abs(self._wanted), self._filled - start)
            chunk = self._buffer[start : start + taken]
            start += taken
            self._wanted = self._parser.send(chunk)
        rest = self._filled - start
        if start and rest:
            self._buffer[:rest] = self._buffer[start : self._filled]
        self._filled = rest

    def _parse(self) -> Iterator[int]:  # type: ignore[override]
        """Ask for so many bytes at once (positive), or for up to so many (negative); what came is sent in."""
        command, sink = b"", None
        while True:
            kind, length = struct.unpack(">BxI", (yield 6))  # type: ignore[misc]
            if kind == PduType.ASSOCIATE_RQ:
                pdu, _ = accept(decode_request(bytes((yield length))), CONTEXTS, max_pdu_bytes=131_072)  # type: ignore[call-overload]
                self._transport.write(pdu)
            elif kind != PduType.P_DATA:
                yield length
                self._transport.write(RELEASE_RP)
                self._transport.close()
            while kind == PduType.P_DATA and length:
                size, number, control = struct.unpack(">IBB", (yield 6))  # type: ignore[misc]
                length, left = length - size - 4, size - 2
                if control & 1:
                    command = bytes((yield left))  # type: ignore[call-overload]
                    sink = Sink(self._folder)
                    continue
                while left:
                    chunk = yield -left
                    sink.write(chunk)  # type: ignore[union-attr,arg-type]
                    left -= len(chunk)  # type: ignore[arg-type]
                if control & 2:
                    sink.close()  # type: ignore[union-attr]
                    answer = response(decode_command(command), 0)
                    self._transport.write(p_data_header(len(answer), number, command=True, last=True) + answer)


def serve_asyncio(port: int, folder: Path) -> None:
    """One event loop for all associations; files are written in it."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: EventLoopAssociation(folder), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


WAYS = {"threads": serve_threads, "forked": serve_forked, "asyncio": serve_asyncio}


def main() -> None:
    """Serve in the way that is named."""
    silence_pynetdicom()
    WAYS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
