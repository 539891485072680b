# SPDX-License-Identifier: Apache-2.0
"""Checks that an object says in one way only whose it is and which one it is."""

import re
from collections.abc import Mapping
from typing import NoReturn

from pydicom.charset import convert_encodings, decode_bytes

from service.dicom import charset
from service.dicom.walk import named
from service.dicom.wanted import TEXTS, UIDS
from service.domain.errors import AdmissionError
from service.domain.fault import Fault

MAX_UID_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 64
_PATIENT_NAME = 0x00100010
_MAX_NAME_BYTES = 1024
_UID_GRAMMAR = re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ESCAPE = b"\x1b"
_SEPARATOR = b"\\"


def check_identity(identity: Mapping[int, bytes], character_set: bytes = b"") -> None:
    """Check SOP Class, SOP Instance, Study and Series UID, Patient ID with its issuer, Accession Number and name.

    Parameters
    ----------
    identity
        The bytes of these elements by tag; each at most once, which the walk over the object has seen to.
    character_set
        The bytes of (0008,0005), all names defined by DICOM.

    Raises
    ------
    AdmissionError
        A UID is absent or breaks PS3.5 9.1; a value is multiple, too long or holds control characters. The message
        never holds a value.
    """
    for tag in UIDS:
        check_uid(tag, identity.get(tag, b""))
    for tag in TEXTS:
        _check_text(tag, identity.get(tag, b"").rstrip(b" \0"), character_set)


def uid_text(raw: bytes) -> str:
    """Return a UID without its padding."""
    return raw.rstrip(b"\0 ").decode("latin-1")


def check_uid(tag: int, raw: bytes) -> None:
    """Check one UID; raises AdmissionError."""
    value = raw.rstrip(b"\0 ")
    if not value:
        _refuse(tag, "is absent or empty; PS3.3 requires a value: correct the object")
    if _SEPARATOR in value:
        _refuse(tag, f"has {value.count(_SEPARATOR) + 1} values; PS3.6 allows one: correct the object")
    if len(value) > MAX_UID_CHARACTERS or _UID_GRAMMAR.fullmatch(value) is None:
        _refuse(tag, "is no UID; PS3.5 9.1: at most 64 digits and dots, no component with a leading zero: correct it")


def _check_text(tag: int, value: bytes, character_set: bytes) -> None:
    is_name = tag == _PATIENT_NAME
    if _CONTROL.search(value.replace(_ESCAPE, b"") if is_name else value):
        _refuse(tag, "holds control characters; PS3.5 6.2 forbids them in this VR: correct it")
    if value.isascii() and _ESCAPE not in value:
        text = value.decode("ascii")
    else:
        text = decode_bytes(value, convert_encodings(charset.names(character_set)), {0x0D, 0x0A, 0x09, 0x0C})
    number = len(text.split("\\"))
    if number > 1:
        _refuse(tag, f"has {number} values; PS3.6 allows one: correct the object")
    if len(text) > (_MAX_NAME_BYTES if is_name else MAX_TEXT_CHARACTERS):
        _refuse(tag, "is longer than 64 characters, and readers differ in where they cut it; correct it")


def _refuse(tag: int, text: str) -> NoReturn:
    raise AdmissionError(f"{named(tag)} {text}", fault=Fault.IDENTITY)
