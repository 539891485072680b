# SPDX-License-Identifier: Apache-2.0
"""Peers that misbehave on purpose, as scripts over plain sockets."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Listens on loopback and runs `script` on each connection, in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._script(connection)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in [self._listener, *self._connections]:
            connection.close()


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Read one PDU; returns its type and its whole encoding."""
    header = _read(connection, 6)
    kind, length = struct.unpack(">BxI", header)
    return kind, header + _read(connection, length)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def association_request(
    *,
    calling: str = "MODALITY",
    called: str = "DOKUEI",
    sop_class: str = "1.2.840.10008.1.1",
    transfer_syntax: str = "1.2.840.10008.1.2",
) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU with one presentation context, number 1."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = calling
    primitive.called_ae_title = called
    primitive.calling_presentation_address = _address()
    primitive.called_presentation_address = _address()
    context = build_context(sop_class, [transfer_syntax])
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    primitive.user_information = _user_information()
    pdu = A_ASSOCIATE_RQ(primitive)
    return bytes(pdu.encode())


def _address() -> object:
    from pynetdicom.transport import AddressInformation

    return AddressInformation("127.0.0.1", 104)


def _user_information() -> list[object]:
    length = MaximumLengthNotification()
    length.maximum_length_received = 16_384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3.4")
    return [length, implementation]
