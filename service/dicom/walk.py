# SPDX-License-Identifier: Apache-2.0
"""Walks the structure of a data set on its bytes: bounded in time and memory, it refuses what is not well formed.

The loops over elements are written for speed, because every instance that arrives passes through them while it is
being answered: an element of a plain kind costs one call into `struct` and two look-ups. Everything else (sequences,
long values, whatever is out of line) leaves the loop for a method of its own.
"""

import os
import re
import struct
from dataclasses import dataclass
from typing import NoReturn

from pydicom.datadict import dictionary_description, dictionary_VR
from pydicom.dataelem import RawDataElement

from service.dicom import charset
from service.dicom.values import SIZES, Decoder, raw_element
from service.dicom.wanted import CHARACTER_SET, IDENTITY, NOTHING, SEQUENCES, Wanted
from service.domain.errors import AdmissionError
from service.domain.fault import Fault
from service.domain.instance import Scalar

MAX_DEPTH = 32
MAX_ITEMS = 250_000
MAX_ELEMENTS = 250_000
"""Four times what an enhanced multi-frame object of 2,000 frames has; reading so many takes 0.4 s of a core."""
MAX_VALUES = 200_000
MAX_KEPT_BYTES = 65_536
"""A longer value of a wanted element is not kept."""
MAX_DISORDER = 16
"""Elements out of order that a lenient walk forgives."""

_WINDOW_BYTES = 131_072
_COUNT_BYTES = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_UNDEFINED_BYTES = b"\xff\xff\xff\xff"
_PIXEL_DATA = 0x7FE00010
_LAST_OUTSIDE = 0x0007FFFF
"""Groups up to 0007 belong to commands, file meta information and directories (PS3.5 7.1, PS3.10)."""
_DELIMITERS = 0xFFFE0000
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_EMPTY_ITEMS = {
    little_endian: re.compile(b"(?:%b)+|(?:%b)+" % (re.escape(given), re.escape(undefined)), re.DOTALL)
    for little_endian, given, undefined in (
        (True, b"\xfe\xff\x00\xe0" + bytes(4), b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0" + bytes(4)),
        (False, b"\xff\xfe\xe0\x00" + bytes(4), b"\xff\xfe\xe0\x00\xff\xff\xff\xff\xff\xfe\xe0\x0d" + bytes(4)),
    )
}
"""Items without content, of defined or undefined length, as many as follow each other; by the byte order."""
_SHORT = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
"""VRs with 16 bits of length (PS3.5 7.1.2)."""
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)  # fmt: skip
_SEPARATED = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"))
"""VRs whose values a backslash separates."""
_IDENTITY_VRS = frozenset(("UI", "LO", "SH", "PN", "CS", "AE", "UC", "UN"))


@dataclass(frozen=True, slots=True)
class Coding:
    """How elements are written: the fixed parts of their heads, ready to unpack."""

    explicit: bool
    head: struct.Struct
    item: struct.Struct
    number: struct.Struct
    little_endian: bool = True


IMPLICIT_LITTLE = Coding(False, struct.Struct("<HHI"), struct.Struct("<HHI"), struct.Struct("<I"))
EXPLICIT_LITTLE = Coding(True, struct.Struct("<HH2sH"), struct.Struct("<HHI"), struct.Struct("<I"))
EXPLICIT_BIG = Coding(True, struct.Struct(">HH2sH"), struct.Struct(">HHI"), struct.Struct(">I"), little_endian=False)


class Walk:
    """One walk over one file.

    Parameters
    ----------
    descriptor
        Of the open file; it is read with pread(2), a window at a time.
    encapsulated
        The transfer syntax wraps pixel data in fragments.
    lenient
        Forgive what is wrong but cannot be read in two ways.

    Attributes
    ----------
    found
        The values of every wanted keyword, so far.
    identity
        The bytes of the identifying elements of the root, so far.
    """

    def __init__(self, descriptor: int, size: int, *, coding: Coding, encapsulated: bool, lenient: bool) -> None:
        self.found: dict[str, list[Scalar]] = {}
        self.identity: dict[int, bytes] = {}
        self.character_set: RawDataElement | None = None
        self._descriptor, self._size = descriptor, size
        self._encapsulated, self._lenient = encapsulated, lenient
        self._window, self._base = b"", 0
        self._elements = self._items = self._disorder = 0
        self._use(coding)
        self._decoder = Decoder(little_endian=coding.little_endian)

    def root(self, position: int, wanted: dict[int, Wanted], *, window: bytes = b"") -> None:
        """Walk the data set that begins at `position`; `window` is the beginning of the file, when it is at hand."""
        self._window = window
        self._level(position, self._size, wanted, False, 0)

    def _use(self, coding: Coding) -> None:
        self._coding = coding
        self._level = self._explicit if coding.explicit else self._implicit

    # --- the loops: positional arguments and local names for speed ---------------------------------------------------

    def _explicit(self, position: int, end: int, wanted: dict[int, Wanted], delimited: bool, depth: int) -> int:
        """Walk a level in explicit VR up to `end`, or to the delimiter of an item; return the position after it."""
        unpack, (window, base, last) = self._coding.head.unpack_from, self._view()
        previous, count = _LAST_OUTSIDE, 0
        seen: set[int] | None = set() if self._lenient else None
        while position < end:
            if position > last:
                window, base, last = self._slide(position, count)
                count = 0
            group, number, vr, length = unpack(window, position - base)
            tag = group << 16 | number
            if not previous < tag < _DELIMITERS:
                if self._out_of_line(tag, previous, seen, (position, end, delimited)):
                    self._count(count, position)
                    return position + 8
            else:
                previous = tag
            if seen is not None:
                seen.add(tag)
            count += 1
            if vr not in _SHORT:
                self._count(count, position)
                position = self._other(tag, vr, (position, end), wanted, depth)
                (window, base, last), count = self._view(), 0
                continue
            value, position = position + 8, position + 8 + length
            if position > end or length & 1:
                self._check_length(tag, length, value, end)
            if tag in wanted:
                self._keep(wanted[tag], tag, vr.decode(), (value, length))
        return self._leave(position, delimited, count)

    def _implicit(self, position: int, end: int, wanted: dict[int, Wanted], delimited: bool, depth: int) -> int:
        """Walk a level in implicit VR; otherwise as `_explicit`."""
        unpack, (window, base, last) = self._coding.head.unpack_from, self._view()
        previous, count = _LAST_OUTSIDE, 0
        seen: set[int] | None = set() if self._lenient else None
        while position < end:
            if position > last:
                window, base, last = self._slide(position, count)
                count = 0
            group, number, length = unpack(window, position - base)
            tag = group << 16 | number
            if not previous < tag < _DELIMITERS:
                if self._out_of_line(tag, previous, seen, (position, end, delimited)):
                    self._count(count, position)
                    return position + 8
            else:
                previous = tag
            if seen is not None:
                seen.add(tag)
            count += 1
            if length > MAX_VALUES or tag in SEQUENCES:
                self._count(count, position)
                position = self._long_implicit(tag, length, (position, end), wanted, depth)
                (window, base, last), count = self._view(), 0
                continue
            value, position = position + 8, position + 8 + length
            if position > end or length & 1:
                self._check_length(tag, length, value, end)
            if tag in wanted:
                self._keep(wanted[tag], tag, "", (value, length))
        return self._leave(position, delimited, count)

    def _sequence(self, position: int, end: int, wanted: dict[int, Wanted], delimited: bool, depth: int) -> int:
        """Walk the items of a sequence up to `end` or to its delimiter; return the position after it."""
        if depth > MAX_DEPTH:
            self._refuse(
                Fault.TOO_DEEP, position, f"sequences are nested deeper than {MAX_DEPTH} levels; send a flat object"
            )
        unpack, character_set = self._coding.item.unpack_from, self.character_set
        while position < end:
            if position + 8 > self._base + len(self._window):
                self._slide(position, 0)
            group, number, length = unpack(self._window, position - self._base)
            tag, position = group << 16 | number, position + 8
            if tag != _ITEM:
                return self._end_of_sequence(tag, length, position, end if delimited else -1)
            self._items += 1
            if not length:
                position = self._past_empty_items(position, end)
            elif length == _UNDEFINED:
                position = self._level(position, end, wanted, True, depth)
                position = self._past_empty_items(position, end)
            else:
                self._check_length(tag, length, position, end)
                position = self._level(position, position + length, wanted, False, depth)
            self.character_set = character_set
            if self._items > MAX_ITEMS:
                self._refuse(Fault.TOO_MANY_ITEMS, position, f"more than {MAX_ITEMS} items; send the object in parts")
        return self._leave(position, delimited, 0)

    def _past_empty_items(self, position: int, end: int) -> int:
        """Pass what is left of a run of items without content: a million of them must not take half a second."""
        start = position - self._base
        run = _EMPTY_ITEMS[self._coding.little_endian].match(self._window, start, start + end - position)
        if run is None:
            return position
        bytes_each = 16 if self._window[start + 4 : start + 8] == _UNDEFINED_BYTES else 8
        self._items += (run.end() - start) // bytes_each
        return position + run.end() - start

    # --- leaving the loops -------------------------------------------------------------------------------------------

    def _other(self, tag: int, vr: bytes, place: tuple[int, int], wanted: dict[int, Wanted], depth: int) -> int:
        """Pass an element with 32 bits of length, a sequence, or one whose VR is none; return the position after it."""
        position, end = place
        if vr not in _LONG:
            return self._without_vr(tag, vr, place, wanted, depth)
        value = position + 12
        length = self._coding.number.unpack(self._read(position + 8, 4))[0]
        if vr == b"SQ":
            return self._into(tag, length, (value, end), wanted, depth)
        if length == _UNDEFINED:
            return self._undefined(tag, vr, (value, end), wanted, depth)
        self._check_length(tag, length, value, end)
        if vr == b"UN" and tag in SEQUENCES:
            return self._as_implicit(tag, length, (value, end), wanted, depth)
        return self._long_value(tag, vr.decode(), (value, length), wanted)

    def _long_value(self, tag: int, vr: str, place: tuple[int, int], wanted: dict[int, Wanted]) -> int:
        value, length = place
        if length > MAX_VALUES:
            self._check_values(tag, vr or _standard_vr(tag), place)
        if tag in wanted:
            self._keep(wanted[tag], tag, vr, place)
        return value + length

    def _long_implicit(
        self, tag: int, length: int, place: tuple[int, int], wanted: dict[int, Wanted], depth: int
    ) -> int:
        position, end = place
        if tag in SEQUENCES or (length == _UNDEFINED and tag != _PIXEL_DATA):
            return self._into(tag, length, (position + 8, end), wanted, depth)
        if length == _UNDEFINED:
            self._refuse_undefined(tag, position)
        self._check_length(tag, length, position + 8, end)
        return self._long_value(tag, "", (position + 8, length), wanted)

    def _into(self, tag: int, length: int, place: tuple[int, int], wanted: dict[int, Wanted], depth: int) -> int:
        """Walk a sequence; return the position after it."""
        value, end = place
        if depth == 0 and tag in IDENTITY:
            self._refuse(
                Fault.IDENTITY, value, f"{named(tag)} is a sequence, PS3.6 gives it one value; correct the object"
            )
        node = wanted.get(tag)
        members = (node.members if node else NOTHING) or NOTHING
        before = self._items
        if length == _UNDEFINED:
            after = self._sequence(value, end, members, True, depth + 1)
        else:
            self._check_length(tag, length, value, end)
            after = self._sequence(value, value + length, members, False, depth + 1)
        if node is not None and node.keyword:
            self.found.setdefault(node.keyword, []).extend([self._items - before] if self._items > before else [])
        return after

    def _as_implicit(self, tag: int, length: int, place: tuple[int, int], wanted: dict[int, Wanted], depth: int) -> int:
        """Walk a sequence that somebody passed on without knowing it: VR UN, implicit little endian (PS3.5 6.2.2)."""
        coding = self._coding
        self._use(IMPLICIT_LITTLE)
        after = self._into(tag, length, place, wanted, depth)
        self._use(coding)
        return after

    def _undefined(self, tag: int, vr: bytes, place: tuple[int, int], wanted: dict[int, Wanted], depth: int) -> int:
        value, end = place
        if vr == b"UN":
            return self._as_implicit(tag, _UNDEFINED, place, wanted, depth)
        if tag != _PIXEL_DATA or vr not in {b"OB", b"OW"} or not (self._encapsulated or depth):
            self._refuse_undefined(tag, value)
        return self._fragments(value, end)

    def _fragments(self, position: int, end: int) -> int:
        """Pass the fragments of encapsulated pixel data (PS3.5 A.4); return the position after their delimiter."""
        unpack = self._coding.item.unpack_from
        while position < end:
            at = position - self._base
            if at + 8 > len(self._window):
                self._slide(position, 0)
                at = 0
            group, number, length = unpack(self._window, at)
            tag, position = group << 16 | number, position + 8
            if tag != _ITEM:
                return self._end_of_sequence(tag, length, position, end)
            self._check_length(tag, length, position, end)
            self._items += 1
            if self._items > MAX_ITEMS:
                self._refuse(
                    Fault.TOO_MANY_ITEMS, position, f"more than {MAX_ITEMS} fragments; send the object in parts"
                )
            position += length
        return self._leave(position, True, 0)

    def _without_vr(self, tag: int, vr: bytes, place: tuple[int, int], wanted: dict[int, Wanted], depth: int) -> int:
        """Refuse an element without a VR; a lenient walk takes it as implicit where all readers do.

        A length of 66 bytes, say, begins with "B" and NUL: some readers look for letters only and take it as
        implicit, others (pydicom) compare the two bytes with AA and ZZ and take it as an explicit VR.
        """
        position, end = place
        doubtful = (depth == 0 and tag in IDENTITY) or vr.isalnum() or b"AA" <= vr <= b"ZZ"
        if not self._lenient or doubtful or position + 8 > end:
            self._refuse(
                Fault.VALUE_REPRESENTATION,
                position,
                f"{named(tag)} has no value representation of PS3.5 6.2 where explicit VR was announced; "
                "send it again, or in Implicit VR Little Endian",
            )
        length = self._coding.number.unpack(self._read(position + 4, 4))[0]
        coding = self._coding
        self._use(IMPLICIT_LITTLE)
        after = self._long_implicit(tag, length, place, wanted, depth)
        self._use(coding)
        return after

    # --- keeping -----------------------------------------------------------------------------------------------------

    def _keep(self, node: Wanted, tag: int, vr: str, place: tuple[int, int]) -> None:
        position, length = place
        at = position - self._base
        if at >= 0 and at + length <= len(self._window):  # nearly always; a call less for each
            raw = self._window[at : at + length] if length <= MAX_KEPT_BYTES else b""
        else:
            raw = self._read(position, length) if length <= MAX_KEPT_BYTES else b""
        if tag == CHARACTER_SET:
            self._check_character_set(raw, place[0])
        if node.identity:
            self._keep_identity(tag, vr, raw, place)
        keyword, found = node.keyword, self.found
        if keyword:
            values = self._decoder.scalars(tag, vr or node.vr, raw, explicit=vr != "", charset=self.character_set)
            if keyword in found:
                found[keyword].extend(values)
            else:
                found[keyword] = values

    def _keep_identity(self, tag: int, vr: str, raw: bytes, place: tuple[int, int]) -> None:
        if place[1] > MAX_KEPT_BYTES or (vr and vr not in _IDENTITY_VRS):
            self._refuse(Fault.IDENTITY, place[0], f"{named(tag)} is not one short text (PS3.6); correct the object")
        self.identity[tag] = raw

    def _check_character_set(self, raw: bytes, position: int) -> None:
        names = charset.names(raw)
        defined = all(charset.is_defined(name) for name in names)
        if len(names) > charset.MAX_NAMES or not (
            defined or (self._lenient and all(charset.is_defined(name) or charset.is_misspelt(name) for name in names))
        ):
            self._refuse(
                Fault.CHARACTER_SET,
                position,
                f"{named(CHARACTER_SET)} names a character set outside PS3.3 C.12.1.1.2, or more than "
                f"{charset.MAX_NAMES}; correct it at the sender",
            )
        self.character_set = raw_element(CHARACTER_SET, "CS", raw) if defined else None

    # --- checking ----------------------------------------------------------------------------------------------------

    def _check_length(self, tag: int, length: int, value: int, end: int) -> None:
        if value + length > end:
            place = "file" if end == self._size else "item or sequence around it"
            self._refuse(
                Fault.TRUNCATED,
                value,
                f"{named(tag)} claims {length} bytes, more than the {place} holds; it is truncated: send it again",
            )
        if length & 1 and not self._lenient:
            self._refuse(
                Fault.ODD_LENGTH,
                value,
                f"{named(tag)} has the odd length {length}; PS3.5 7.1.1: even; correct the object",
            )

    def _check_values(self, tag: int, vr: str, place: tuple[int, int]) -> None:
        position, length = place
        if vr in SIZES:
            number = length // SIZES[vr]
        elif vr in _SEPARATED:
            starts = range(position, position + length, _COUNT_BYTES)
            ends = position + length
            number = 1 + sum(self._read(start, min(_COUNT_BYTES, ends - start)).count(b"\\") for start in starts)
        else:
            return
        if number > MAX_VALUES:
            self._refuse(
                Fault.TOO_MANY_VALUES, position, f"{named(tag)} has {number} values, {MAX_VALUES} are taken; send fewer"
            )

    def _out_of_line(self, tag: int, previous: int, seen: set[int] | None, place: tuple[int, int, bool]) -> bool:
        """Say whether this is the end of the item; refuse what does not stand in ascending order (PS3.5 7.1)."""
        position, end, delimited = place
        if tag >= _DELIMITERS:
            self._check_item_end(tag, position, end if delimited else -1)
            return True
        if tag <= _LAST_OUTSIDE:
            self._refuse(
                Fault.WRONG_GROUP, position, f"{named(tag)} belongs into no data set (PS3.5 7.1); remove the element"
            )
        if tag == previous or (seen is not None and tag in seen):
            self._refuse(
                Fault.DUPLICATE_ELEMENT,
                position,
                f"{named(tag)} stands twice, and readers differ in which one they take; PS3.5 7.1: once; correct it",
            )
        self._disorder += 1
        if seen is None or tag in IDENTITY or self._disorder > MAX_DISORDER:
            self._refuse(
                Fault.ELEMENT_ORDER,
                position,
                f"{named(tag)} follows {named(previous)}; PS3.5 7.1: every element once, ascending; correct the object",
            )
        return False

    def _check_item_end(self, tag: int, position: int, end: int) -> None:
        """Refuse a delimiter that is not the end of this item; `end` is -1 where the item's length is defined."""
        length = self._coding.number.unpack(self._read(position + 4, 4))[0] if position + 8 <= self._size else 1
        if tag != _ITEM_END or length or position + 8 > end:
            self._refuse(
                Fault.DELIMITER, position, f"{named(tag)} stands where no item ends (PS3.5 7.5); send the object again"
            )

    def _end_of_sequence(self, tag: int, length: int, position: int, end: int) -> int:
        """Return `position` after a right delimiter; `end` is -1 where the sequence's length is defined."""
        if tag != _SEQUENCE_END or length or position > end:
            self._refuse(
                Fault.DELIMITER,
                position - 8,
                f"{named(tag)} stands where an item or an end of sequence belongs (PS3.5 7.5); send the object again",
            )
        return position

    def _leave(self, position: int, delimited: bool, count: int) -> int:
        self._count(count, position)
        if delimited:
            self._refuse(
                Fault.TRUNCATED,
                position,
                "a sequence, an item or pixel data of undefined length has no end; send it again",
            )
        return position

    def _count(self, count: int, position: int) -> None:
        self._elements += count
        if self._elements > MAX_ELEMENTS:
            self._refuse(
                Fault.TOO_MANY_ELEMENTS, position, f"more than {MAX_ELEMENTS} elements; send the object in parts"
            )

    def _refuse_undefined(self, tag: int, position: int) -> NoReturn:
        self._refuse(
            Fault.UNDEFINED_LENGTH,
            position,
            f"{named(tag)} has undefined length, which PS3.5 7.1.2 and A.4 do not allow it here; send the object again",
        )

    def _refuse(self, fault: Fault, position: int, message: str) -> NoReturn:
        raise AdmissionError(message, fault=fault, offset=position)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _view(self) -> tuple[bytes, int, int]:
        """Return the window, where it begins, and the last position at which it holds the head of an element."""
        return self._window, self._base, self._base + len(self._window) - 8

    def _slide(self, position: int, count: int) -> tuple[bytes, int, int]:
        """Move the window to `position`, where at least the 8 bytes of an element's head must be; count on the way."""
        self._count(count, position)
        self._window, self._base = os.pread(self._descriptor, _WINDOW_BYTES, position), position
        if len(self._window) < 8:
            self._refuse(
                Fault.TRUNCATED, position, "the object ends within an element's head; it is truncated: send it again"
            )
        return self._view()

    def _read(self, position: int, length: int) -> bytes:
        """Return bytes of the file: out of the window where it has them."""
        at = position - self._base
        if at >= 0 and at + length <= len(self._window):
            return self._window[at : at + length]
        raw = os.pread(self._descriptor, length, position)
        if len(raw) < length:
            self._refuse(Fault.TRUNCATED, position, "the object ends within an element; it is truncated: send it again")
        return raw


def named(tag: int) -> str:
    """Return an element as messages name it, for example "(0010,0020) 'Patient ID'"."""
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    try:
        return f"{number} '{dictionary_description(tag)}'"
    except KeyError:
        return number


def _standard_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"
