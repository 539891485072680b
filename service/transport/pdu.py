# SPDX-License-Identifier: Apache-2.0
"""PDUs of the DICOM upper layer (PS3.8 section 9.3) as a stream: read in place in one reused buffer, never gathered."""

import struct
import time
from collections.abc import Iterator
from enum import IntEnum

from service.transport.connection import Connection, Limits, OnTick, PeerBrokeLimitError, ProtocolError

HEADER_BYTES = 6
BUFFER_BYTES = 262_144
NEGOTIATION_PDU_BYTES = 262_144
"""An A-ASSOCIATE-RQ with 128 presentation contexts of 30 transfer syntaxes each takes half of this."""
PDU_SLACK_BYTES = 12
"""Some senders count the PDV header out of the maximum length (PS3.8 D.1) and overshoot it by a few bytes."""
COMMAND_BYTES = 65_536
"""Larger than any command set of PS3.7 annex E."""
_PDU = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_P_DATA = struct.Struct(">BxIIBB")
"""The headers of a P-DATA-TF and of its first PDV, as they nearly always come: together."""
_COMMAND, _LAST = 0x01, 0x02


class PduType(IntEnum):
    """PDU types (PS3.8 section 9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


RELEASE_RQ = _PDU.pack(PduType.RELEASE_RQ, 4) + bytes(4)
RELEASE_RP = _PDU.pack(PduType.RELEASE_RP, 4) + bytes(4)
ABORT_BY_USER = _PDU.pack(PduType.ABORT, 4) + bytes(4)


def abort_by_provider(reason: int) -> bytes:
    """Return an A-ABORT PDU with source 2, service provider (PS3.8 table 9-26)."""
    return _PDU.pack(PduType.ABORT, 4) + bytes((0, 0, 2, reason))


def reject(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU (PS3.8 table 9-21)."""
    return _PDU.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def p_data_header(length: int, context_id: int, *, command: bool, last: bool) -> bytes:
    """Return what precedes the `length` bytes of a fragment in a P-DATA-TF with one PDV (PS3.8 9.3.5, annex E)."""
    control = (_COMMAND if command else 0) | (_LAST if last else 0)
    return _PDU.pack(PduType.P_DATA, length + 6) + _PDV.pack(length + 2, context_id, control)


class PduReader:
    """Reads PDUs from a connection.

    The buffer is used again for every read: a fragment that is handed out is valid until the next is asked for.
    """

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self._pdu_left = self._pdv_left = 0
        self._pdu_ends = 0.0
        self._context_id = self._control = 0

    @property
    def holds_more(self) -> bool:
        """Whether bytes that were received already wait to be read."""
        return self._start != self._end

    def next_pdu(
        self, *, seconds: float, reason: str = "idle", on_tick: OnTick | None = None, whole: bool = False
    ) -> int:
        """Wait for the next PDU's header; returns its type. With `whole`, `seconds` bound the PDU to its last byte.

        Raises
        ------
        PeerBrokeLimitError
            Nothing came within `seconds`, or the header did not follow its first byte in time.
        ProtocolError
            The last PDU was not read to its end, or the length is not one that the type can have.
        PeerClosedError
            The peer closed the connection.
        """
        if self._pdu_left:
            raise ProtocolError
        ends = time.monotonic() + seconds
        if self._start == self._end:
            self._start = self._end = 0
            self._end = self._connection.receive(self._view, ends=ends, reason=reason, on_tick=on_tick)
        self._pdu_ends = ends if whole else time.monotonic() + self._limits.pdu_seconds
        kind, self._pdu_left = self._unpack(_PDU)
        self._check_length(kind)
        return kind

    def body(self) -> bytes:
        """Return the rest of a PDU that is not P-DATA-TF; at most NEGOTIATION_PDU_BYTES."""
        body = bytearray()
        while self._pdu_left:
            body += self._take(self._pdu_left)
        return bytes(body)

    def command(self) -> tuple[int, bytes]:
        """Return the presentation context and the bytes of a command set, whose first PDU has begun.

        Raises
        ------
        ProtocolError
            A data set comes first, the context changes, or it is longer than any command.
        """
        command = bytearray()
        self._next_pdv()
        context_id = self._context_id
        while True:
            if not self._control & _COMMAND or self._context_id != context_id:
                raise ProtocolError
            while self._pdv_left:
                command += self._take(self._pdv_left)
                if len(command) > COMMAND_BYTES:
                    raise ProtocolError(6)
            if self._control & _LAST:
                return context_id, bytes(command)
            self._continue_message()

    def data_set(self, context_id: int) -> Iterator[memoryview]:
        """Yield the bytes of the data set that follows a command on the same presentation context."""
        started, received = time.monotonic(), 0
        while True:
            self._continue_message()
            if self._control & _COMMAND or self._context_id != context_id:
                raise ProtocolError
            while self._pdv_left:
                chunk = self._take(self._pdv_left)
                received += len(chunk)
                yield chunk
            if self._control & _LAST:
                return
            self._check_object(received, seconds=time.monotonic() - started)

    def _continue_message(self) -> None:
        """Go to the next PDV of a message, in this PDU or in the next."""
        if self._both_headers():
            return
        if not self._pdu_left and self.next_pdu(seconds=self._limits.pdu_seconds, reason="pdu_time") != PduType.P_DATA:
            raise ProtocolError
        self._next_pdv()

    def _both_headers(self) -> bool:
        """Take the headers of the next PDU and its PDV at once; False leaves them, and all complaints, to the others.

        This is 20 microseconds faster, and a slice of 0.5 MB has five of them.
        """
        if self._pdu_left or self._end - self._start < _P_DATA.size:
            return False
        kind, length, pdv_length, context_id, control = _P_DATA.unpack_from(self._view, self._start)
        if kind != PduType.P_DATA or length > self._limits.pdu_bytes or not 2 <= pdv_length <= length - 4:
            return False
        self._start += _P_DATA.size
        self._pdu_left, self._pdv_left = length - _PDV.size, pdv_length - 2
        self._context_id, self._control = context_id, control
        self._pdu_ends = time.monotonic() + self._limits.pdu_seconds
        return True

    def _next_pdv(self) -> None:
        if self._pdu_left < _PDV.size:
            raise ProtocolError(6)
        length, self._context_id, self._control = self._unpack(_PDV)
        self._pdv_left = length - 2
        self._pdu_left -= _PDV.size
        if length < 2 or self._pdv_left > self._pdu_left:
            raise ProtocolError(6)

    def _check_length(self, kind: int) -> None:
        length = self._pdu_left
        if kind == PduType.P_DATA:
            allowed, least = self._limits.pdu_bytes + PDU_SLACK_BYTES, _PDV.size
        elif kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
            allowed, least = NEGOTIATION_PDU_BYTES, 68
        elif kind in (PduType.ASSOCIATE_RJ, PduType.RELEASE_RQ, PduType.RELEASE_RP, PduType.ABORT):
            allowed, least = 4, 4
        else:
            raise ProtocolError(1)
        if length > allowed:
            raise PeerBrokeLimitError("pdu_length")
        if length < least:
            raise ProtocolError(6)

    def _check_object(self, received: int, *, seconds: float) -> None:
        limits = self._limits
        if received > limits.object_bytes:
            raise PeerBrokeLimitError("object_length")
        if seconds > limits.grace_seconds and received < seconds * limits.slowest_bytes_per_second:
            raise PeerBrokeLimitError("object_time")

    def _unpack(self, form: struct.Struct) -> tuple[int, ...]:
        """Unpack a header, which may lie at the end of the buffer or come in pieces."""
        if self._end - self._start < form.size:
            self._gather(form.size)
        values = form.unpack_from(self._view, self._start)
        self._start += form.size
        return values

    def _gather(self, size: int) -> None:
        held = self._end - self._start
        self._view[:held] = self._view[self._start : self._end]
        self._start, self._end = 0, held
        while self._end < size:
            self._end += self._connection.receive(self._view[self._end :], ends=self._pdu_ends)

    def _take(self, size: int) -> memoryview:
        """Return up to `size` bytes of the current PDU (and PDV), waiting for at least one."""
        if self._start == self._end:
            if time.monotonic() >= self._pdu_ends:
                raise PeerBrokeLimitError("pdu_time")
            self._start = 0
            self._end = self._connection.receive(self._view, ends=self._pdu_ends)
        taken = min(size, self._end - self._start)
        chunk = self._view[self._start : self._start + taken]
        self._start += taken
        self._pdu_left -= taken
        self._pdv_left = max(0, self._pdv_left - taken)
        return chunk
