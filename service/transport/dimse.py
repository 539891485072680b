# SPDX-License-Identifier: Apache-2.0
"""DIMSE command sets (PS3.7 section 6.3.1 and annex E): Implicit VR Little Endian, group 0000 only."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import IntEnum

from service.transport.connection import ProtocolError

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
NO_DATA_SET = 0x0101
"""Command Data Set Type (0000,0800) of a message without a data set (PS3.7 E.1)."""
DATA_SET_FOLLOWS = 0x0001
RESPONSE = 0x8000
MEDIUM = 0x0000


class CommandField(IntEnum):
    """Command Field (0000,0100) of the requests that Dokuei knows (PS3.7 table E.1-1)."""

    C_STORE = 0x0001
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130
    C_CANCEL = 0x0FFF


class Tag(IntEnum):
    """Element numbers of group 0000."""

    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ACTION_TYPE_ID = 0x1008
    COMPLETED_SUB_OPERATIONS = 0x1021
    FAILED_SUB_OPERATIONS = 0x1022
    WARNING_SUB_OPERATIONS = 0x1023
    MOVE_ORIGINATOR_AE_TITLE = 0x1030


_NUMBERS = frozenset(
    (
        Tag.COMMAND_FIELD,
        Tag.MESSAGE_ID,
        Tag.MESSAGE_ID_BEING_RESPONDED_TO,
        Tag.PRIORITY,
        Tag.COMMAND_DATA_SET_TYPE,
        Tag.STATUS,
        Tag.EVENT_TYPE_ID,
        Tag.ACTION_TYPE_ID,
        Tag.COMPLETED_SUB_OPERATIONS,
        Tag.FAILED_SUB_OPERATIONS,
        Tag.WARNING_SUB_OPERATIONS,
    )
)
_AE_TITLES = frozenset((Tag.MOVE_DESTINATION, Tag.MOVE_ORIGINATOR_AE_TITLE))
"""Padded with a blank (PS3.5 6.2); bytes that are no ASCII are kept as U+FFFD, for nobody has such a title."""


Elements = Mapping[int, int | str]
"""The elements of a command set by element number."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command set; elements that Dokuei does not look at are left out."""

    elements: Elements = dataclass_field(default_factory=dict)

    def number(self, tag: Tag) -> int:
        """Return the value of a US element; raises ProtocolError when it is absent."""
        value = self.elements.get(tag)
        if not isinstance(value, int):
            raise ProtocolError(6)
        return value

    def text(self, tag: Tag) -> str:
        """Return the value of a UI or AE element; "" when it is absent."""
        return str(self.elements.get(tag, ""))

    def count(self, tag: Tag) -> int:
        """Return the value of a US element that a peer may leave out; 0 then."""
        return int(self.elements.get(tag, 0))

    @property
    def field(self) -> int:
        """Command Field."""
        return self.number(Tag.COMMAND_FIELD)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.number(Tag.COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.field & RESPONSE) and self.field != CommandField.C_CANCEL


def decode_command(data: bytes) -> Command:
    """Return the command set in `data`.

    Raises
    ------
    ProtocolError
        An element is not of group 0000, out of order, given twice, runs past the end, or does not fit its VR; or
        Command Field or Command Data Set Type is absent.
    """
    elements: dict[int, int | str] = {}
    position, previous = 0, -1
    while position < len(data):
        if len(data) - position < _ELEMENT.size:
            raise ProtocolError(6)
        group, element, length = _ELEMENT.unpack_from(data, position)
        position += _ELEMENT.size
        if group or element <= previous or length > len(data) - position:
            raise ProtocolError(6)
        if element in _WANTED:
            elements[element] = _decoded(element, data[position : position + length])
        position, previous = position + length, element
    command = Command(elements)
    command.number(Tag.COMMAND_FIELD)
    command.number(Tag.COMMAND_DATA_SET_TYPE)
    return command


def encode_command(elements: Elements) -> bytes:
    """Return a command set with its group length."""
    encoded = b"".join(_encoded(element, value) for element, value in sorted(elements.items()))
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(encoded)) + encoded


def request(field: CommandField, *, data_set: bool, message_id: int = 1, **more: int | str) -> Elements:
    """Return the elements of a request; `more` adds elements by the name of their tag, for example `priority`."""
    return {
        Tag.COMMAND_FIELD: field,
        Tag.MESSAGE_ID: message_id,
        Tag.COMMAND_DATA_SET_TYPE: DATA_SET_FOLLOWS if data_set else NO_DATA_SET,
        **{Tag[name.upper()]: value for name, value in more.items()},
    }


def response(command: Command, status: int, **more: int | str) -> bytes:
    """Return the response to a request, without a data set.

    The SOP class and instance are those of the request, whichever of the two names it has for them; `more` adds
    elements by the name of their tag, for example `event_type_id`.
    """
    elements: dict[int, int | str] = {
        Tag.COMMAND_FIELD: command.field | RESPONSE,
        Tag.MESSAGE_ID_BEING_RESPONDED_TO: command.number(Tag.MESSAGE_ID),
        Tag.COMMAND_DATA_SET_TYPE: NO_DATA_SET,
        Tag.STATUS: status,
        **{Tag[name.upper()]: value for name, value in more.items()},
    }
    for affected, requested in (
        (Tag.AFFECTED_SOP_CLASS_UID, Tag.REQUESTED_SOP_CLASS_UID),
        (Tag.AFFECTED_SOP_INSTANCE_UID, Tag.REQUESTED_SOP_INSTANCE_UID),
    ):
        uid = command.text(affected) or command.text(requested)
        if uid:
            elements[affected] = uid
    return encode_command(elements)


_WANTED = frozenset(int(tag) for tag in Tag)


def _decoded(element: int, value: bytes) -> int | str:
    if element in _NUMBERS:
        if len(value) != _US.size:
            raise ProtocolError(6)
        return int(_US.unpack(value)[0])
    if element in _AE_TITLES:
        return value.decode("ascii", errors="replace").strip("\0 ")
    try:
        return value.decode("ascii").rstrip("\0 ")
    except UnicodeDecodeError:
        raise ProtocolError(6) from None


def _encoded(element: int, value: int | str) -> bytes:
    if isinstance(value, int):
        data = _US.pack(value)
    else:
        data = value.encode("ascii")
        data += (b" " if element in _AE_TITLES else b"\0") * (len(data) % 2)
    return _ELEMENT.pack(0, element, len(data)) + data
