# SPDX-License-Identifier: Apache-2.0
"""Shows the structure of a file up to a fault, for a person: tags, VRs and lengths, and never a value."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.dicom.scan import data_set
from service.dicom.walk import Coding, named
from service.domain.errors import AdmissionError

SHOWN = 24
"""Lines before the fault."""
MAX_LINES = 100_000
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of an element, an item or a delimiter."""

    tag: int
    vr: str
    length: int
    value: int

    @property
    def opens(self) -> bool:
        """Other heads follow inside of it."""
        return self.vr == "SQ" or self.tag == _ITEM or (self.length == _UNDEFINED and self.tag not in _ENDS)


_ENDS = (_ITEM_END, _SEQUENCE_END)


def outline(path: Path, until: int) -> tuple[str, ...]:
    """Return the last lines of the file's structure up to an offset; none for what is no DICOM file."""
    lines: deque[str] = deque(maxlen=SHOWN)
    try:
        position, coding = data_set(path)
    except AdmissionError:
        return ()
    ends: list[int] = []
    with path.open("rb") as stream:
        for _ in range(MAX_LINES):
            while ends and position >= ends[-1]:
                ends.pop()
            head = _head(stream, position, coding)
            if head is None or position > until:
                break
            if head.tag in _ENDS and ends:
                ends.pop()
            lines.append(_line(position, head, depth=len(ends)))
            position = _next(head, ends)
    return tuple(lines)


def _next(head: _Head, ends: list[int]) -> int:
    if head.opens:
        ends.append(head.value + head.length if head.length != _UNDEFINED else 1 << 62)
        return head.value
    return head.value + (head.length if head.length != _UNDEFINED else 0)


def _line(position: int, head: _Head, *, depth: int) -> str:
    length = "undefined length" if head.length == _UNDEFINED else f"{head.length} bytes"
    return f"{position:>10}  {'  ' * depth}{named(head.tag)} {head.vr} {length}".replace("  bytes", " bytes")


def _head(stream: BinaryIO, position: int, coding: Coding) -> _Head | None:
    stream.seek(position)
    raw = stream.read(12)
    if len(raw) < 8:
        return None
    group, number, length = coding.item.unpack(raw[:8])
    tag = group << 16 | number
    vr = raw[4:6]
    if not coding.explicit or group == 0xFFFE or not vr.isalpha():
        return _Head(tag, "", length, position + 8)
    if vr in _LONG:
        return _Head(tag, vr.decode(), coding.number.unpack(raw[8:].ljust(4, b"\0"))[0], position + 12)
    return _Head(tag, vr.decode("latin-1"), coding.head.unpack(raw[:8])[3], position + 8)
