# SPDX-License-Identifier: Apache-2.0
"""Which items of a source's sequences may be copied: those that lack nothing that the standard demands of them.

An object with an item that is not valid is not valid itself, and an archive may refuse it: the item is left out, for a
patient's other identifier must not cost the patient the result.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from service.results.source.bad_values import BAD_VALUE_ERRORS

CODE_SUFFIX = "CodeSequence"
CODE_VALUES = {"CodeValue": 16, "LongCodeValue": 4_294_967_294, "URNCodeValue": 4_294_967_294}
"""The elements of which a code has exactly one, and the longest value of each in characters (PS3.3 table 8.8-1a)."""
CONTROL = re.compile(rb"[\x00-\x1a\x1c-\x1f]")
"""Control characters but ESC, which no value of one line has (PS3.5 6.1.3)."""
SEVERAL_LINES = frozenset({"LT", "ST", "UT"})
UNIVERSAL_TYPES = frozenset({"DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"})
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
MAX_UID = 64
BYTES_OF_A_CHARACTER = 8
"""At most, an escape sequence before it included."""

Rule = Callable[[Dataset], bool]


def is_sound(item: Dataset, sequence: str) -> bool:
    """Say whether an item of the sequence with this keyword may be copied."""
    rule = _is_code if sequence.endswith(CODE_SUFFIX) else RULES.get(sequence, _anything)
    try:
        return rule(item) and all(_is_plain(item, tag) for tag in list(item.keys()))
    except BAD_VALUE_ERRORS:
        return False


def _anything(_item: Dataset) -> bool:
    return True


def _is_plain(item: Dataset, tag: BaseTag) -> bool:
    """Say whether a text value has no control characters: a validator's report would break at them."""
    value = _bytes(item, tag)
    return _vr(tag) in SEVERAL_LINES | {"", "SQ"} or CONTROL.search(value.rstrip(b"\0")) is None


def _vr(tag: BaseTag) -> str:
    return str(dictionary_VR(tag)) if keyword_for_tag(tag) else ""


def _is_code(item: Dataset) -> bool:
    """The code sequence macro (PS3.3 8.8)."""
    given = [keyword for keyword in CODE_VALUES if Tag(keyword) in item]
    if len(given) != 1 or not 0 < len(_word(item, given[0])) <= CODE_VALUES[given[0]]:
        return False
    has_scheme = given[0] == "URNCodeValue" or 0 < len(_word(item, "CodingSchemeDesignator")) <= 16
    return has_scheme and 0 < _length(item, "CodeMeaning") <= 64


def _is_other_patient_id(item: Dataset) -> bool:
    """Patient ID and Type of Patient ID are type 1 (PS3.3 C.7.1.1)."""
    return 0 < _length(item, "PatientID") <= 64 and bool(_word(item, "TypeOfPatientID"))


def _is_issuer(item: Dataset) -> bool:
    """An issuer has a local name, or a universal one with its type (PS3.3 table 10-17)."""
    has_name = bool(_length(item, "LocalNamespaceEntityID") or _word(item, "UniversalEntityID"))
    return has_name and _is_qualifier(item)


def _is_qualifier(item: Dataset) -> bool:
    """A universal name and its type come together (PS3.3 table 10-18)."""
    return bool(_word(item, "UniversalEntityID")) == (_word(item, "UniversalEntityIDType") in UNIVERSAL_TYPES)


def _is_reference(item: Dataset) -> bool:
    """SOP class and instance are type 1 (PS3.3 table 10-11)."""
    uids = [_word(item, keyword) for keyword in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")]
    return all(len(uid) <= MAX_UID and UID.fullmatch(uid) for uid in uids)


def _bytes(item: Dataset, tag: BaseTag) -> bytes:
    """Return the value as it is stored: pydicom would keep what it decodes, and the copy would not be verbatim."""
    element = item.get_item(tag) if tag in item else None
    value = element.value if element is not None else b""
    return value if isinstance(value, bytes) else str(value or "").encode("utf-8", "replace")


def _word(item: Dataset, keyword: str) -> str:
    """Return a single ASCII value; "" when there is none, several, or something else."""
    value = _bytes(item, Tag(keyword)).strip(b" \0")
    return value.decode("ascii") if value.isascii() and b"\\" not in value else ""


def _length(item: Dataset, keyword: str) -> int:
    """Return the number of characters; a low estimate for what is not ASCII."""
    value = _bytes(item, Tag(keyword)).strip(b" \0")
    return len(value) if value.isascii() and b"\x1b" not in value else -(-len(value) // BYTES_OF_A_CHARACTER)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "OtherPatientIDsSequence": _is_other_patient_id,
        "IssuerOfPatientIDQualifiersSequence": _is_qualifier,
        "IssuerOfAccessionNumberSequence": _is_issuer,
        "AssigningFacilitySequence": _is_issuer,
        "OrderPlacerIdentifierSequence": _is_issuer,
        "OrderFillerIdentifierSequence": _is_issuer,
        "ReferencedStudySequence": _is_reference,
    }
)
"""What the items of a sequence need; those of code sequences have a rule in common, and the others have none."""
