# SPDX-License-Identifier: Apache-2.0
"""One association that a peer opened, from its first byte to its last; runs in a thread of its own."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from service.transport.connection import (
    Connection,
    Limits,
    PeerBrokeLimitError,
    PeerClosedError,
    ProtocolError,
)
from service.transport.dimse import Command, CommandField, decode_command, response
from service.transport.negotiation import Accepted
from service.transport.pdu import (
    ABORT_BY_USER,
    RELEASE_RP,
    PduReader,
    PduType,
    abort_by_provider,
    p_data_header,
)
from service.transport.statuses import SUCCESS, UNRECOGNISED_OPERATION

LINGER_BYTES = 65_536
"""What a peer may still have under way then; one that goes on sending is cut off."""
LINGER_SECONDS = 1.0
"""Time that a peer has to close after our last PDU, so that it reads it (ARTIM, PS3.8 9.1.5)."""


class EndAssociationError(Exception):
    """The association ends here: released, aborted by the peer, or given up by us; `pdu` is our last word."""

    def __init__(self, pdu: bytes = b"") -> None:
        super().__init__("the association ends")
        self.pdu = pdu


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request: its command, the context that it came on, and its data set as a stream that is read once."""

    command: Command
    context: Accepted
    data_set: Iterator[memoryview]


class Answer(Protocol):
    """Sends the response to a message; may be called before the data set is read, and once."""

    def __call__(self, pdv: bytes, /) -> None:
        """Send a command set on the message's context."""


class Services(Protocol):
    """What the association asks of the server that it belongs to."""

    def admit(self, body: bytes) -> tuple[bytes, Mapping[int, Accepted]]:
        """Return the A-ASSOCIATE-AC for an A-ASSOCIATE-RQ, and its contexts.

        Raises
        ------
        EndAssociationError
            The association is refused, with the A-ASSOCIATE-RJ.
        ProtocolError, PeerBrokeLimitError
            The request is none.
        """

    def dropped(self, reason: str) -> None:
        """Note that the connection ends because the peer passed a limit or broke the protocol."""

    @property
    def draining(self) -> bool:
        """Whether associations end as soon as they are idle."""

    @property
    def handlers(self) -> Mapping[int, Callable[[Message, Answer], None]]:
        """What is done with a request, by its Command Field; a handler answers, and may leave the data set unread."""


class Association:
    """An association in the role of the acceptor (PS3.8 section 7)."""

    def __init__(self, connection: Connection, services: Services, *, limits: Limits) -> None:
        self._connection = connection
        self._services = services
        self._limits = limits
        self._reader = PduReader(connection, limits)
        self._contexts: Mapping[int, Accepted] = {}
        self._sending = threading.Lock()
        self.established = False
        self.busy = False
        """Within a request: from its first byte until its response has left."""

    def run(self) -> None:
        """Serve the peer until the association ends; the connection is closed then."""
        try:
            self._negotiate()
            while True:
                self._serve_request()
        except EndAssociationError as end:
            self._part(end.pdu)
        except ProtocolError as error:
            self._services.dropped(error.reason)
            self._part(abort_by_provider(error.abort_reason))
        except PeerBrokeLimitError as error:
            self._services.dropped(error.reason)
            self._part(ABORT_BY_USER if self.established else b"")
        except OSError:
            if self.busy:  # between requests a peer may leave without a word, and many do
                self._services.dropped("connection")
        finally:
            self.established = False
            self._connection.close()

    def abort(self) -> None:
        """End the association from another thread."""
        self._connection.close()

    def _negotiate(self) -> None:
        limits = self._limits
        kind = self._reader.next_pdu(seconds=limits.negotiation_seconds, reason="negotiation_time", whole=True)
        if kind != PduType.ASSOCIATE_RQ:
            raise ProtocolError
        pdu, self._contexts = self._services.admit(self._reader.body())
        self.established = True
        self._send(pdu)

    def _serve_request(self) -> None:
        kind = self._reader.next_pdu(seconds=self._limits.idle_seconds, on_tick=self._end_when_draining)
        if kind != PduType.P_DATA:
            self._end(kind)
        self.busy = True
        context_id, data = self._reader.command()
        context = self._contexts.get(context_id)
        if context is None:
            raise ProtocolError
        command = decode_command(data)
        stream = self._reader.data_set(context_id) if command.has_data_set else iter(())
        message = Message(command=command, context=context, data_set=stream)
        self._handle(message)
        for _chunk in stream:
            continue  # a handler that answered early leaves the rest to us
        self.busy = False

    def _handle(self, message: Message) -> None:
        if message.command.is_response or message.command.field == CommandField.C_CANCEL:
            return
        handler = self._services.handlers.get(message.command.field, _unrecognised)
        context_id = message.context.context_id

        def answer(data: bytes) -> None:
            self._send(p_data_header(len(data), context_id, command=True, last=True) + data)

        handler(message, answer)

    def _end(self, kind: int) -> NoReturn:
        self._reader.body()
        if kind == PduType.RELEASE_RQ:
            raise EndAssociationError(RELEASE_RP)
        if kind == PduType.ABORT:
            raise EndAssociationError
        raise ProtocolError

    def _end_when_draining(self) -> None:
        if self._services.draining:
            raise EndAssociationError(ABORT_BY_USER)

    def _send(self, data: bytes) -> None:
        with self._sending:
            self._connection.send(data, stalled_seconds=self._limits.pdu_seconds)

    def _part(self, pdu: bytes) -> None:
        """Say the last word, if there is one, and give the peer a moment to read it and close."""
        if not pdu:
            return
        rest = memoryview(bytearray(LINGER_BYTES))
        try:
            self._connection.send(pdu, stalled_seconds=LINGER_SECONDS)
            self._connection.finish_sending()
            ends = time.monotonic() + LINGER_SECONDS
            while rest and time.monotonic() < ends:
                rest = rest[self._connection.receive(rest, ends=ends) :]
        except (PeerClosedError, PeerBrokeLimitError):
            return


def _unrecognised(message: Message, answer: Answer) -> None:
    answer(response(message.command, UNRECOGNISED_OPERATION))


def echo(message: Message, answer: Answer) -> None:
    """Answer C-ECHO (PS3.7 section 9.1.5)."""
    answer(response(message.command, SUCCESS))
