# SPDX-License-Identifier: Apache-2.0
"""One association that we open: what is sent goes from the file to the socket, and every wait has an end."""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn, Self

from service.transport.connection import Connection, Limits, PeerBrokeLimitError, PeerClosedError, ProtocolError
from service.transport.dimse import Command, Elements, decode_command, encode_command
from service.transport.interruption import CONNECT_SECONDS
from service.transport.negotiation import Accepted, Answer, decode_accept, decode_reject, encode_request
from service.transport.pdu import (
    ABORT_BY_USER,
    RELEASE_RP,
    RELEASE_RQ,
    PduReader,
    PduType,
    abort_by_provider,
    p_data_header,
)
from service.transport.sending import Part10, opened, with_head
from service.transport.tls import TlsClient

OUR_PDU_BYTES = 131_072
MESSAGE_BYTES = 1_048_576
"""Longest data set of a response or report."""


class AssociationRejectedError(Exception):
    """The peer rejected the association; `rejection` is (result, source, reason)."""

    def __init__(self, rejection: tuple[int, int, int]) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection


class Requestor:
    """An association in the role of the requestor; use it as a context manager, which releases it.

    Parameters
    ----------
    patience_seconds
        Longest that the peer may do nothing: connect, answer, take the next bytes.
    slowest_bytes_per_second
        A link slower than this is as good as down: an object gets the time that it needs at this rate, and the
        patience.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience_seconds: float,
        slowest_bytes_per_second: int = 100_000,
    ) -> None:
        self._connection = connection
        self._patience_seconds = patience_seconds
        self._slowest = slowest_bytes_per_second
        self._limits = Limits(
            pdu_bytes=OUR_PDU_BYTES, pdu_seconds=patience_seconds, negotiation_seconds=patience_seconds
        )
        self._reader = PduReader(connection, self._limits)
        self._answer = Answer()
        self._established = False

    @classmethod
    def connect(cls, host: str, port: int, *, patience_seconds: float, tls: TlsClient | None = None) -> Self:
        """Open the connection; raises OSError, or TlsError when the other side's certificate does not do, or ours."""
        opened = socket.create_connection((host, port), timeout=min(patience_seconds, CONNECT_SECONDS))
        if tls is not None:
            opened = tls.connect(opened, seconds=patience_seconds)
        return cls(Connection(opened), patience_seconds=patience_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket(self) -> socket.socket:
        """The socket, for ending the association from another thread."""
        return self._connection.socket

    @property
    def established(self) -> bool:
        """Whether requests can be sent."""
        return self._established

    @property
    def contexts(self) -> Mapping[int, Accepted]:
        """The accepted presentation contexts."""
        return self._answer.contexts

    def context_for(self, abstract_syntax: str, transfer_syntaxes: Iterable[str]) -> Accepted | None:
        """Return the accepted context of a SOP class whose transfer syntax comes first in the order given."""
        of_class = [context for context in self.contexts.values() if context.abstract_syntax == abstract_syntax]
        ordered = (context for uid in transfer_syntaxes for context in of_class if context.transfer_syntax == uid)
        return next(ordered, None)

    def associate(
        self,
        calling_ae: str,
        called_ae: str,
        contexts: Sequence[tuple[str, str]],
        *,
        scp_roles: Iterable[str] = (),
    ) -> None:
        """Negotiate the association with (abstract syntax, transfer syntax) pairs.

        Raises
        ------
        AssociationRejectedError
            The peer rejected it.
        ConnectionError
            The peer closed, was silent, or answered with something else.
        """
        pdu, proposed = encode_request(
            calling_ae, called_ae, contexts, max_pdu_bytes=OUR_PDU_BYTES, scp_roles=scp_roles
        )
        self._connection.send(pdu, stalled_seconds=self._patience_seconds)
        kind = self._reader.next_pdu(seconds=self._patience_seconds, reason="negotiation_time")
        body = self._reader.body()
        if kind == PduType.ASSOCIATE_RJ:
            raise AssociationRejectedError(decode_reject(body).rejection or (0, 0, 0))
        if kind != PduType.ASSOCIATE_AC:
            raise ProtocolError
        self._answer = decode_accept(body, proposed)
        self._established = True

    def request(self, context: Accepted, elements: Elements, data_set: bytes | Part10 = b"") -> tuple[Command, bytes]:
        """Send a request and return its response, with the response's data set.

        Raises
        ------
        ConnectionError
            The association broke, or the peer was silent or too slow; it is of no use any more.
        """
        self.send(context, elements, data_set)
        return self.read()

    def send(self, context: Accepted, elements: Elements, data_set: bytes | Part10 = b"") -> None:
        """Send a message; raises as `request`."""
        command = encode_command(elements)
        head = p_data_header(len(command), context.context_id, command=True, last=True) + command
        with self._ending_on_error(), opened(data_set) as source:
            ends = time.monotonic() + self._patience_seconds + source.size / self._slowest
            for part in with_head(head, source.fragments(context.context_id, self._answer.max_pdu_bytes)):
                self._connection.send(part, stalled_seconds=self._patience_seconds, ends=ends)

    def read(self, *, seconds: float | None = None) -> tuple[Command, bytes]:
        """Wait for a message, at most `seconds` (the patience when None), and return it; raises as `request`."""
        with self._ending_on_error():
            kind = self._reader.next_pdu(seconds=self._patience_seconds if seconds is None else seconds)
            if kind != PduType.P_DATA:
                self._end(kind)
            context_id, data = self._reader.command()
            command = decode_command(data)
            return command, self._data_set(context_id) if command.has_data_set else b""

    def reply(self, context: Accepted, command: bytes) -> None:
        """Answer a request of the peer; raises as `request`."""
        head = p_data_header(len(command), context.context_id, command=True, last=True)
        with self._ending_on_error():
            self._connection.send(head + command, stalled_seconds=self._patience_seconds)

    def wait(self, seconds: float) -> bool:
        """Say whether something comes from the peer within this time."""
        return self._established and (self._reader.holds_more or self._connection.readable(seconds))

    def abort(self) -> None:
        """End the association at once: the peer is to stop what it does for us (PS3.8 7.3)."""
        if self._established:
            self._established = False
            with suppress(ConnectionError):
                self._connection.send(ABORT_BY_USER, stalled_seconds=0)

    def close(self) -> None:
        """Release the association if there is one, and close the connection."""
        with suppress(ConnectionError):
            if self._established:
                self._release()
        self._established = False
        self._connection.close()

    def _release(self) -> None:
        self._connection.send(RELEASE_RQ, stalled_seconds=self._patience_seconds)
        ends = time.monotonic() + self._patience_seconds
        while time.monotonic() < ends:
            kind = self._reader.next_pdu(seconds=max(0.0, ends - time.monotonic()))
            if kind == PduType.RELEASE_RP:
                return
            if kind == PduType.RELEASE_RQ:  # both sides released at once (PS3.8 7.2.2.7)
                self._reader.body()
                self._connection.send(RELEASE_RP, stalled_seconds=self._patience_seconds)
            elif kind == PduType.P_DATA:
                self._skip()
            else:
                return

    def _skip(self) -> None:
        context_id, data = self._reader.command()
        if decode_command(data).has_data_set:
            self._data_set(context_id)

    def _data_set(self, context_id: int) -> bytes:
        data = bytearray()
        for chunk in self._reader.data_set(context_id):
            data += chunk
            if len(data) > MESSAGE_BYTES:
                raise PeerBrokeLimitError("message_length")
        return bytes(data)

    def _end(self, kind: int) -> NoReturn:
        self._reader.body()
        if kind == PduType.RELEASE_RQ:
            self._connection.send(RELEASE_RP, stalled_seconds=self._patience_seconds)
        elif kind != PduType.ABORT:
            raise ProtocolError
        raise PeerClosedError("aborted" if kind == PduType.ABORT else "released")

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError as error:
            self._established = False
            self._abort(error)
            raise

    def _abort(self, error: ConnectionError) -> None:
        if isinstance(error, PeerClosedError):
            return
        reason = error.abort_reason if isinstance(error, ProtocolError) else None
        with suppress(ConnectionError):
            pdu = ABORT_BY_USER if reason is None else abort_by_provider(reason)
            self._connection.send(pdu, stalled_seconds=0)
