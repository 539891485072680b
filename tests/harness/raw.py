# SPDX-License-Identifier: Apache-2.0
"""Builds data sets byte by byte, for objects that no library would write."""

import struct
from pathlib import Path

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF
IDENTITY: dict[int, tuple[str, bytes]] = {
    0x00080016: ("UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    0x00080018: ("UI", b"1.2.3.4\0"),
    0x00080050: ("SH", b"ACC1"),
    0x00080060: ("CS", b"CT"),
    0x00100010: ("PN", b"SECRET^NAME "),
    0x00100020: ("LO", b"SECRETID"),
    0x0020000D: ("UI", b"1.2.3 "),
    0x0020000E: ("UI", b"1.2.3.1\0"),
}
"""The smallest object that is let in."""


def head(tag: int, length: int, order: str = "<") -> bytes:
    """An item or a delimiter."""
    return struct.pack(f"{order}HHI", tag >> 16, tag & 0xFFFF, length)


def element(tag: int, vr: str, value: bytes, *, length: int | None = None, order: str = "<") -> bytes:
    """An element in explicit VR; `length` is what it claims, its true length when absent."""
    claimed = len(value) if length is None else length
    begin = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode("latin-1"))
    size = struct.pack(f"{order}xxI", claimed) if vr in LONG else struct.pack(f"{order}H", claimed)
    return begin + size + value


def implicit(tag: int, value: bytes, *, length: int | None = None) -> bytes:
    """An element in implicit VR."""
    return head(tag, len(value) if length is None else length) + value


def item(content: bytes = b"", *, length: int | None = None) -> bytes:
    """An item; of undefined length it gets its delimiter."""
    if length == UNDEFINED:
        return head(0xFFFEE000, UNDEFINED) + content + head(0xFFFEE00D, 0)
    return head(0xFFFEE000, len(content) if length is None else length) + content


def sequence(tag: int, content: bytes, *, undefined: bool = False) -> bytes:
    """A sequence in explicit VR."""
    if undefined:
        return element(tag, "SQ", content + head(0xFFFEE0DD, 0), length=UNDEFINED)
    return element(tag, "SQ", content)


def body(extra: bytes = b"", *, at: int = 0xFFFFFFFF, order: str = "<", **changes: tuple[str, bytes] | None) -> bytes:
    """The smallest object in explicit VR, with `extra` bytes before the first element from tag `at` on.

    `changes` replace elements by hexadecimal tag ("t00100020"), None leaves one out.
    """
    elements = {**IDENTITY, **{int(name[1:], 16): value for name, value in changes.items()}}
    parts = [(tag, element(tag, *value, order=order)) for tag, value in sorted(elements.items()) if value is not None]
    before = b"".join(raw for tag, raw in parts if tag < at)
    return before + extra + b"".join(raw for tag, raw in parts if tag >= at)


def implicit_body(extra: bytes = b"", *, at: int = 0xFFFFFFFF) -> bytes:
    """The smallest object in implicit VR."""
    parts = [(tag, implicit(tag, value)) for tag, (_, value) in IDENTITY.items()]
    before = b"".join(raw for tag, raw in parts if tag < at)
    return before + extra + b"".join(raw for tag, raw in parts if tag >= at)


def part10(path: Path, data_set: bytes, *, syntax: str = EXPLICIT) -> Path:
    """Write a Part 10 file around a data set."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(0x00020001, "OB", b"\0\1") + element(0x00020010, "UI", uid)
    path.write_bytes(bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + data_set)
    return path
