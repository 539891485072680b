# SPDX-License-Identifier: Apache-2.0
"""Checks that an object says in one way only whose it is and which one it is."""

import re

from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from service.dicom.parsing import PARSE_FAULTS
from service.domain.errors import DicomStructureError

_UIDS = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
_TEXTS = (0x00100020, 0x00080050)
IDENTITY_TAGS = frozenset(_UIDS + _TEXTS)
"""The elements that `check_identity` looks at."""
_UID_GRAMMAR = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_identity(dataset: Dataset) -> None:
    """Check SOP Class, SOP Instance, Study and Series UID, Patient ID and Accession Number.

    Repeated and disordered elements cannot be seen here any more: reading the header refuses them.

    Raises
    ------
    DicomStructureError
        A UID is absent or breaks PS3.5 9.1; a value is multiple or holds control characters. The message never
        holds a value.
    """
    for tag in _UIDS:
        _check_uid(_single_text(dataset, tag), tag)
    for tag in _TEXTS:
        _check_text(_single_text(dataset, tag), tag)


def _single_text(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    try:
        value = dataset[tag].value
    except PARSE_FAULTS as error:
        raise DicomStructureError(f"{_named(tag)} cannot be decoded ({type(error).__name__})") from error
    if isinstance(value, MultiValue | list):
        raise DicomStructureError(f"{_named(tag)} has {len(value)} values; PS3.6 allows one: correct the object")
    return str(value) if value is not None else ""


def _check_uid(value: str, tag: int) -> None:
    if not value:
        raise DicomStructureError(f"{_named(tag)} is absent or empty; PS3.3 requires a value: correct the object")
    if len(value) > 64 or _UID_GRAMMAR.fullmatch(value) is None:
        raise DicomStructureError(
            f"{_named(tag)} is no UID; PS3.5 9.1: at most 64 digits and dots, no component with a leading zero"
        )


def _check_text(value: str, tag: int) -> None:
    if _CONTROL.search(value):
        raise DicomStructureError(f"{_named(tag)} holds control characters; PS3.5 6.2 forbids them in this VR")


def _named(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) '{dictionary_description(tag)}'"
