# SPDX-License-Identifier: Apache-2.0
"""Data sets byte by byte, for objects that no library would write."""

import struct
from collections.abc import Iterable

from harness.wire import CT_IMAGE, UNDEFINED, element, even

ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
SEQUENCE_TAG = 0x00081140
"""Referenced Image Sequence."""
PIXEL_DATA = 0x7FE00010


def tag_of(data: bytes) -> int:
    group, number = struct.unpack_from("<HH", data)
    return int(group) << 16 | int(number)


def ct_object(*more: bytes, uid: str = "1.2.3.4", without: Iterable[int] = ()) -> bytes:
    """Return a small CT slice in Explicit VR Little Endian.

    `more` are encoded elements: each goes to the place of its tag, behind an element that has it already; `without`
    are tags to leave out.
    """
    elements = [item for item in _plain(uid) if tag_of(item) not in set(without)]
    for item in more:
        at = next((place for place, known in enumerate(elements) if tag_of(known) > tag_of(item)), len(elements))
        elements.insert(at, item)
    return b"".join(elements)


def _plain(uid: str) -> list[bytes]:
    def us(tag: int, value: int) -> bytes:
        return element(tag, b"US", struct.pack("<H", value))

    return [
        element(0x00080016, b"UI", even(CT_IMAGE)),
        element(0x00080018, b"UI", even(uid)),
        element(0x00080060, b"CS", b"CT"),
        element(0x00100010, b"PN", even("ATTACK^A", b" ")),
        element(0x00100020, b"LO", even("ATTACK-1", b" ")),
        element(0x0020000D, b"UI", even(f"{uid[:55]}.1")),
        element(0x0020000E, b"UI", even(f"{uid[:55]}.2")),
        element(0x00200013, b"IS", b"1 "),
        us(0x00280002, 1),
        element(0x00280004, b"CS", b"MONOCHROME2 "),
        us(0x00280010, 8),
        us(0x00280011, 8),
        us(0x00280100, 16),
        us(0x00280101, 12),
        us(0x00280102, 11),
        us(0x00280103, 0),
        element(PIXEL_DATA, b"OW", bytes(128)),
    ]


def sequence(content: bytes) -> bytes:
    """Return a sequence of undefined length around encoded items, with its end."""
    return element(SEQUENCE_TAG, b"SQ", content + SEQUENCE_END, length=UNDEFINED)


def nested(levels: int) -> bytes:
    """Return sequences within sequences."""
    opening = element(SEQUENCE_TAG, b"SQ", b"", length=UNDEFINED) + ITEM
    return opening * levels + (ITEM_END + SEQUENCE_END) * levels


def private_elements(count: int) -> list[bytes]:
    """Return empty private elements, one after the other."""
    groups = range(0x0009, 0x0019, 2)
    tags = (group << 16 | number for group in groups for number in range(0x1100, 0xFFFF))
    return [element(tag, b"LO", b"") for tag, _ in zip(tags, range(count), strict=False)]


def to_implicit(data: bytes) -> bytes:
    """Return a data set without sequences in Implicit VR Little Endian."""
    encoded, at = b"", 0
    while at < len(data):
        head = 12 if data[at + 4 : at + 6] in {b"OW", b"UT", b"UN"} else 8
        form, place = ("<I", at + 8) if head == 12 else ("<H", at + 6)
        (length,) = struct.unpack_from(form, data, place)
        encoded += data[at : at + 4] + struct.pack("<I", length) + data[at + head : at + head + length]
        at += head + length
    return encoded
