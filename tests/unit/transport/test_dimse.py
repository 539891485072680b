# SPDX-License-Identifier: Apache-2.0
"""Command sets: what is written can be read, by us and by pydicom, and nothing else can."""

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from service.transport.connection import ProtocolError
from service.transport.dimse import (
    NO_DATA_SET,
    Command,
    CommandField,
    Tag,
    decode_command,
    encode_command,
    request,
    response,
)

UIDS = st.from_regex(r"[0-2](\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)
WORDS = st.integers(0, 0xFFFF)


def command_sets() -> st.SearchStrategy[dict[int, int | str]]:
    numbers = dict.fromkeys((Tag.COMMAND_FIELD, Tag.COMMAND_DATA_SET_TYPE), WORDS)
    more = {Tag.MESSAGE_ID: WORDS, Tag.STATUS: WORDS, Tag.AFFECTED_SOP_CLASS_UID: UIDS, Tag.PRIORITY: WORDS}
    return st.fixed_dictionaries(numbers, optional=more)  # type: ignore[arg-type]


@given(command_sets())
def test_what_is_encoded_decodes_to_itself(elements: dict[int, int | str]) -> None:
    assert dict(decode_command(encode_command(elements)).elements) == elements


@given(command_sets())
def test_pydicom_reads_the_same(elements: dict[int, int | str]) -> None:
    dataset = read_dataset(BytesIO(encode_command(elements)), is_implicit_VR=True, is_little_endian=True)
    assert dataset[0x00000000].value == len(encode_command(elements)) - 12
    assert {element.tag.element: element.value for element in dataset if element.tag.element} == elements


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode_command(data)
    except ProtocolError:
        return


VALID = encode_command({Tag.COMMAND_FIELD: 1, Tag.COMMAND_DATA_SET_TYPE: NO_DATA_SET})


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        VALID[:-1],
        VALID + element(0x0800, b"\1\0"),
        VALID + element(0x0700, b"\0\0"),
        VALID + element(0x0900, b"\0"),
        VALID + element(0x1000, b"\xff\xfe"),
        VALID + element(0x0010, b"PATIENT ", group=0x10),
        VALID + struct.pack("<HHI", 0, 0x0900, 0xFFFFFFFF),
        element(0x0800, b"\1\1"),
    ],
    ids=[
        "empty",
        "truncated",
        "twice",
        "out of order",
        "a number of one byte",
        "a UID outside ASCII",
        "another group",
        "past the end",
        "no command field",
    ],
)
def test_refuses_what_two_readers_could_read_differently(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_command(data)


def test_a_response_names_what_the_request_named() -> None:
    elements = request(
        CommandField.N_ACTION,
        data_set=True,
        message_id=9,
        requested_sop_class_uid="1.2",
        requested_sop_instance_uid="3.4",
    )
    answer = decode_command(response(Command(elements), 0x0123))
    assert answer.is_response
    assert answer.field == 0x8130
    assert answer.number(Tag.MESSAGE_ID_BEING_RESPONDED_TO) == 9
    assert (answer.text(Tag.AFFECTED_SOP_CLASS_UID), answer.text(Tag.AFFECTED_SOP_INSTANCE_UID)) == ("1.2", "3.4")
    assert (answer.number(Tag.STATUS), answer.has_data_set) == (0x0123, False)
