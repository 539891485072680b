# SPDX-License-Identifier: Apache-2.0
"""Character sets of result objects: what is copied from a source, and what our own words may be written in.

`preserve` copies every name byte for byte and adds, for a destination that is told of results in Japanese, no more than
the declaration of ISO 2022 IR 87 (JIS X 0208), under which the copied bytes mean what they meant. `utf8` converts them,
all or none: half a patient's name in another character set is another patient.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from service.domain.profile import CharacterSet, EncodingProfile, Language
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.verbatim import INHERITED_BY_PICTURES, OPTIONAL, REQUIRED, stored_bytes

CHARACTER_SET_TAG = Tag("SpecificCharacterSet")
COPIED = tuple(Tag(keyword) for keyword in (*REQUIRED, *OPTIONAL, *INHERITED_BY_PICTURES))
TEXT_VRS = frozenset({"PN", "LO", "SH", "ST", "LT", "UC", "UT"})
"""Representations that Specific Character Set governs (PS3.5 6.1.2.2)."""
ESCAPE = b"\x1b"
JAPANESE = "ISO 2022 IR 87"
JIS_ROMAN = "ISO 2022 IR 13"
UNICODE = ("ISO_IR 192", "GB18030")
"""Character sets that hold every Japanese character."""
EXTENSIBLE = frozenset(f"ISO_IR {number}" for number in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166))
"""Single-byte sets that have a form with code extensions, in which the same bytes stand for the same characters."""
DEFAULT_REPERTOIRE = frozenset({(), ("",), ("ISO_IR 6",), ("ISO 2022 IR 6",)})
OVERLINE = b"~"
"""The one byte below 128 that JIS X 0201 reads otherwise and that is no separator in DICOM."""


class CharacterSetError(ValueError):
    """A source's text does not follow the character set that it declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """A source's header as a destination wants it, the language that our own words can have in it, and what was not
    possible."""

    header: Dataset
    language: Language
    notes: tuple[str, ...] = ()


def adapted(header: Dataset, profile: EncodingProfile) -> Adapted:
    """Bring the elements that are copied from a source into the character set of a profile; changes the header."""
    notes = _converted_to_utf8(header) if profile.character_set is CharacterSet.UTF8 else ()
    if profile.language is Language.ENGLISH:
        return Adapted(header=header, language=Language.ENGLISH, notes=notes)
    if _made_ready_for_japanese(header):
        return Adapted(header=header, language=Language.JAPANESE, notes=notes)
    return Adapted(header=header, language=Language.ENGLISH, notes=(*notes, NO_JAPANESE))


NO_JAPANESE = (
    "(0008,0005) Specific Character Set of the source cannot take Japanese text without changing what its names mean; "
    "this object is in English"
)
NOT_CONVERTED = (
    "(0008,0005) Specific Character Set of the source does not fit its text, which was not converted to UTF-8 but "
    "copied byte for byte"
)


def declared(header: Dataset) -> tuple[str, ...]:
    """Return the values of Specific Character Set; none when it is absent or empty."""
    if CHARACTER_SET_TAG not in header:
        return ()
    return values_of(stored_bytes(header.get_item(CHARACTER_SET_TAG)) or b"")


def values_of(raw: bytes) -> tuple[str, ...]:
    """Return the values of Specific Character Set from its stored form."""
    values = tuple(value.strip() for value in raw.decode("ascii", "replace").strip(" \0").split("\\"))
    return () if values == ("",) else values


def own_encodings(character_set: tuple[str, ...]) -> list[str] | None:
    """Return the Python codecs for our own words; None where they are ASCII whatever is declared.

    Python's own ISO-2022-JP goes back to ASCII by ESC ( B after each run of Japanese. That is right under every first
    value but ISO 2022 IR 13; pydicom would write ESC - A after ISO 2022 IR 100, which leaves JIS X 0208 in G0.
    """
    if character_set[:1] == (JIS_ROMAN,) and JAPANESE in character_set:
        return list(convert_encodings([JIS_ROMAN, JAPANESE]))
    if JAPANESE in character_set:
        return ["csiso2022jp"]
    return list(convert_encodings(list(character_set))) if character_set in {(name,) for name in UNICODE} else None


def declare(header: Dataset, character_set: tuple[str, ...]) -> None:
    """Write Specific Character Set into a header."""
    _put(header, CHARACTER_SET_TAG, "CS", "\\".join(character_set).encode("ascii"))


# --- Japanese beside the source's names ------------------------------------------------------------------------------


def _made_ready_for_japanese(header: Dataset) -> bool:
    """Declare a character set in which the copied bytes stay right and Japanese can be written; False if none is."""
    current = declared(header)
    try:
        wider = _with_japanese(current, b"".join(place.value for place in _places(header)))
    except CharacterSetError:
        return False
    if wider is None:
        return False
    if wider != current:
        declare(header, wider)
    return True


def _with_japanese(current: tuple[str, ...], copied: bytes) -> tuple[str, ...] | None:
    """Return the narrowest character set that holds the copied bytes as they are, and JIS X 0208.

    ASCII bytes mean the same under the default repertoire, for which more archives know the extension.
    """
    if JAPANESE in current or current in {(name,) for name in UNICODE}:
        return current
    if len(current) > 1:
        return (*current, JAPANESE) if _is_known(current) else None
    if ESCAPE in copied or (current not in DEFAULT_REPERTOIRE and current[0] not in EXTENSIBLE):
        return None
    if copied.isascii() and not (current == ("ISO_IR 13",) and OVERLINE in copied):
        return ("", JAPANESE)
    return None if current in DEFAULT_REPERTOIRE else (current[0].replace("ISO_IR", "ISO 2022 IR"), JAPANESE)


def _is_known(character_set: tuple[str, ...]) -> bool:
    return all(value in KNOWN for value in character_set)


KNOWN: Mapping[str, str] = MappingProxyType(dict(pydicom.charset.python_encoding))
"""Defined terms of Specific Character Set (PS3.3 C.12.1.1.2) and the Python codec of each."""


# --- conversion to UTF-8 ---------------------------------------------------------------------------------------------


def _converted_to_utf8(header: Dataset) -> tuple[str, ...]:
    """Convert what is copied, or leave everything as it is and return what to say about it."""
    current = declared(header)
    if current == ("ISO_IR 192",):
        return ()
    try:
        decode = _decoder(current)
        converted = [(place, decode(place.value, place.vr).encode("utf-8")) for place in _places(header)]
    except (CharacterSetError, UnicodeError, LookupError):
        return (NOT_CONVERTED,)
    for place, value in converted:
        _put(place.dataset, place.tag, place.vr, value)
    declare(header, ("ISO_IR 192",))
    return ()


def _decoder(character_set: tuple[str, ...]) -> Callable[[bytes, str], str]:
    """Return the function that decodes a value of a representation strictly, or raises."""
    if not _is_known(character_set):
        raise CharacterSetError(f"(0008,0005) Specific Character Set value {character_set} is unknown")
    has_extensions = len(character_set) > 1 or any(value.startswith("ISO 2022") for value in character_set)
    is_default = character_set in DEFAULT_REPERTOIRE
    encodings = ["ascii"] if is_default else list(convert_encodings(list(character_set)))

    def decode(value: bytes, vr: str) -> str:
        if ESCAPE in value and not has_extensions:
            raise CharacterSetError("an escape sequence stands in a value whose character set has no code extensions")
        delimiters = {*PN_DELIMS, 0x3D, 0x5C} if vr == "PN" else {*TEXT_VR_DELIMS, 0x5C}
        with pydicom.config.strict_reading():
            return decode_bytes(value, encodings, delimiters)

    return decode


# --- elements --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A text of a header or of an item in it, as it is stored."""

    dataset: Dataset
    tag: BaseTag
    vr: str
    value: bytes


def _places(header: Dataset) -> Iterator[_Text]:
    """Yield every text that may be copied from a header."""
    for tag in COPIED:
        if tag in header:
            yield from _element(header, tag)


def _element(dataset: Dataset, tag: BaseTag) -> Iterator[_Text]:
    vr = _vr(tag)
    if vr == "SQ":
        for item in _items(dataset, tag):
            yield from _item(item)
    elif vr in TEXT_VRS:
        value = stored_bytes(dataset.get_item(tag))
        if value:
            yield _Text(dataset=dataset, tag=tag, vr=vr, value=value)


def _items(dataset: Dataset, tag: BaseTag) -> list[Dataset]:
    """Return the items of a sequence; none of one that cannot be parsed, which is not copied either."""
    try:
        return list(dataset[tag].value)
    except BAD_VALUE_ERRORS:
        return []


def _item(item: Dataset) -> Iterator[_Text]:
    if CHARACTER_SET_TAG in item:
        raise CharacterSetError("an item of a copied sequence declares a character set of its own")
    for tag in sorted(item.keys()):
        yield from _element(item, tag)


def _vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _put(place: Dataset, tag: BaseTag, vr: str, value: bytes) -> None:
    padded = value + b" " * (len(value) % 2)
    element = RawDataElement(tag, vr, len(padded), padded, 0, is_implicit_VR=False, is_little_endian=True)
    place[tag] = element
