# SPDX-License-Identifier: Apache-2.0
"""The character sets that DICOM knows (PS3.3 C.12.1.1.2): no other name reaches Python's codecs."""

import re

from pydicom.charset import python_encoding

MAX_NAMES = 8
"""More than there are code elements to switch between; DICOM gives no limit."""
_DEFINED_TERMS = frozenset(python_encoding)
_SEPARATORS = re.compile(r"[ _-]")
_BARE_TERMS = frozenset(_SEPARATORS.sub("", name) for name in _DEFINED_TERMS)


def names(raw: bytes) -> list[str]:
    """Return the names in the bytes of (0008,0005)."""
    return [name.strip() for name in raw.decode("latin-1").rstrip(" \0").split("\\")]


def is_defined(name: str) -> bool:
    """Say whether DICOM has this character set."""
    return name in _DEFINED_TERMS


def is_misspelt(name: str) -> bool:
    """Say whether the name is a defined one but for its separators, as some old equipment writes it."""
    return _SEPARATORS.sub("", name) in _BARE_TERMS
