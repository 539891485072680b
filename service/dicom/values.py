# SPDX-License-Identifier: Apache-2.0
"""Turns the bytes of an element into scalars: plain values at once, all others as pydicom does."""

import math
import struct
from collections.abc import Callable
from functools import partial

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from service.dicom.header import element_values
from service.dicom.parsing import quietly
from service.domain.instance import Scalar

_PLAIN_BYTES = 255
"""No plain value is longer; so it has at most 256 parts, the number that is kept."""
_ESCAPE = b"\x1b"
_PIXEL_REPRESENTATION = 0x00280103

Plain = Callable[[bytes], list[Scalar]]


def _words(raw: bytes) -> list[Scalar]:
    return [part for part in raw.decode("latin-1").rstrip(" \0").split("\\") if part]


def _uids(raw: bytes) -> list[Scalar]:
    parts = raw.decode("latin-1").rstrip("\0 ").split("\\")
    return [part.strip() for part in parts if part]


def _texts(raw: bytes) -> list[Scalar]:
    if not raw.isascii() or _ESCAPE in raw:
        raise ValueError
    parts = (part.rstrip("\0 ") for part in raw.decode("ascii").split("\\"))
    return [part for part in parts if part]


def _integers(raw: bytes) -> list[Scalar]:
    return [int(part) for part in raw.decode("latin-1").rstrip(" \0").split("\\")]


def _decimals(raw: bytes) -> list[Scalar]:
    return [_real(float(part)) for part in raw.decode("latin-1").strip().rstrip(" \0").split("\\")]


def _real(number: float) -> Scalar:
    return number if math.isfinite(number) else str(number)  # JSON, and so the ledger, has no NaN


def _long_texts(raw: bytes) -> list[Scalar]:
    if not raw.isascii() or _ESCAPE in raw:
        raise ValueError
    text = raw.decode("ascii").rstrip("\0 ")
    return [text] if text else []


def _numbers(code: str, order: str, raw: bytes) -> list[Scalar]:
    return list(struct.unpack(f"{order}{len(raw) // struct.calcsize(code)}{code}", raw))


def _reals(code: str, order: str, raw: bytes) -> list[Scalar]:
    return [_real(float(number)) for number in _numbers(code, order, raw)]


def _plain(order: str) -> dict[str, Plain]:
    """Return how plain values of each VR are converted, in a byte order."""
    return {
        **dict.fromkeys(("AS", "CS", "DA", "DT", "TM"), _words),
        **dict.fromkeys(("LO", "SH"), _texts),
        **dict.fromkeys(("LT", "ST", "UT"), _long_texts),
        "UI": _uids,
        "IS": _integers,
        "DS": _decimals,
        **{vr: partial(_numbers, code, order) for vr, code in (("US", "H"), ("SS", "h"), ("UL", "I"), ("SL", "i"))},
        **{vr: partial(_reals, code, order) for vr, code in (("FL", "f"), ("FD", "d"))},
    }


PLAIN = {True: _plain("<"), False: _plain(">")}
"""By whether the byte order is little endian."""
SIZES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
"""Bytes of one value, for the VRs whose values are all equally long."""


class Decoder:
    """Decodes the values of one data set.

    Parameters
    ----------
    little_endian
        The byte order of numbers.
    """

    def __init__(self, *, little_endian: bool) -> None:
        self._little_endian = little_endian
        self._plain = PLAIN[little_endian]
        self._pixel_representation: RawDataElement | None = None

    def scalars(self, tag: int, vr: str, raw: bytes, *, explicit: bool, charset: RawDataElement | None) -> list[Scalar]:
        """Return the values of an element; a value that does not fit its VR is given as text."""
        if not raw:
            return []
        if tag == _PIXEL_REPRESENTATION:
            self._pixel_representation = self._element(tag, vr, raw, explicit=explicit)
        convert = self._plain.get(vr)
        if convert is not None and len(raw) <= _PLAIN_BYTES:
            try:
                return convert(raw)
            except (ValueError, struct.error):
                pass  # not plain: an empty part, a sign that is no number, a letter outside ASCII
        return self._any(self._element(tag, vr, raw, explicit=explicit), charset)

    def _element(self, tag: int, vr: str, raw: bytes, *, explicit: bool) -> RawDataElement:
        return raw_element(tag, vr if explicit else None, raw, little_endian=self._little_endian)

    @quietly()
    def _any(self, element: RawDataElement, charset: RawDataElement | None) -> list[Scalar]:
        context = (charset, self._pixel_representation, element)
        dataset = Dataset({item.tag: item for item in context if item is not None})
        return element_values(dataset, element.tag)


def raw_element(tag: int, vr: str | None, raw: bytes, *, little_endian: bool = True) -> RawDataElement:
    """Return pydicom's form of an element that has been read and not decoded."""
    return RawDataElement(BaseTag(tag), vr, len(raw), raw, 0, vr is None, little_endian)
