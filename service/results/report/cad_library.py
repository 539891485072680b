# SPDX-License-Identifier: Apache-2.0
"""The Image Library of CAD reports (PS3.16 TID 4020), from headers that may lack anything."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.dataset import Dataset

from service.codes import Code, code, dcm, sct
from service.domain.instance import Instance
from service.results.report.context_groups import as_member
from service.results.report.sr_tree import (
    Coded,
    Container,
    Date,
    Image,
    Item,
    Link,
    Number,
    Relationship,
    Text,
    Time,
    Value,
    by_value,
    contains,
)
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.sources import Sources, integer, text

MM, PIXELS = code("UCUM", "mm"), code("UCUM", "{pixels}")
DATE_FORM, TIME_FORM = re.compile(r"\d{8}"), re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
DIRECTION_FORM = re.compile(r"[APLRHF]{1,3}")
MAX_SPACING_MM = 10.0
"""A pixel spacing above is a damaged header; it is left out rather than repeated."""

ImageKey = tuple[str, int | None]
"""(SOP Instance UID, frame number or None for the whole instance)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryWords:
    """The context groups of a library's entries ($ImageLaterality, $ImageView) and the codes of view positions."""

    sides: Mapping[str, Code]
    view_cid: int
    modifier_cid: int
    view_positions: Mapping[str, str]


MAMMOGRAPHY_WORDS = LibraryWords(
    sides=MappingProxyType({"L": sct("80248007"), "R": sct("73056007"), "B": sct("63762007")}),
    view_cid=4014,
    modifier_cid=4015,
    view_positions=MappingProxyType(
        {
            "CC": "399162004",
            "MLO": "399368009",
            "ML": "399260004",
            "LM": "399352003",
            "LMO": "399099002",
            "FB": "399196006",
            "SIO": "399188001",
            "ISO": "441555000",
            "XCCL": "399192008",
            "XCCM": "399101009",
        }
    ),
)
CHEST_WORDS = LibraryWords(
    sides=MappingProxyType({"L": sct("7771000"), "R": sct("24028007"), "B": sct("51440002")}),
    view_cid=4010,
    modifier_cid=4011,
    view_positions=MappingProxyType({"PA": "272479007", "AP": "399348003", "LL": "399173006", "RL": "399198007"}),
)


def library(entries: Sequence[Item]) -> Item:
    """Return the library of these entries."""
    return Item(dcm("111028"), Container(), contains(*entries))


def entry(instance: Instance, frame_number: int | None, *, sources: Sources, words: LibraryWords) -> Item:
    """Return an image with what its header says of it."""
    header = sources.header(instance.sop_instance_uid)
    facts = (*_sides(header, words), *_views(header, words), *_directions(header), *_moments(header), *_sizes(header))
    return Item(None, Image(instance, frame_number), by_value(Relationship.HAS_ACQ_CONTEXT, *facts))


def _sides(header: Dataset, words: LibraryWords) -> Iterator[Item]:
    side = words.sides.get(text(header, "ImageLaterality") or text(header, "Laterality"))
    if side is not None:
        yield Item(dcm("111027"), Coded(side))


def _views(header: Dataset, words: LibraryWords) -> Iterator[Item]:
    """Yield the view: its code, or that of View Position."""
    coded = _first_item(header, "ViewCodeSequence")
    view = _member(coded, words.view_cid)
    position = words.view_positions.get(text(header, "ViewPosition").upper())
    if view is None and position is not None:
        view = as_member("SCT", position, words.view_cid)
    if view is not None:
        modifier = _member(_first_item(coded, "ViewModifierCodeSequence"), words.modifier_cid)
        yield Item(dcm("111031"), Coded(view), _modified(modifier))


def _modified(modifier: Code | None) -> tuple[Link, ...]:
    if modifier is None:
        return ()
    return by_value(Relationship.HAS_CONCEPT_MOD, Item(dcm("111032"), Coded(modifier)))


def _first_item(dataset: Dataset, keyword: str) -> Dataset:
    try:
        items = list(dataset.get(keyword) or [])
    except BAD_VALUE_ERRORS:
        return Dataset()
    return items[0] if items else Dataset()


def _member(item: Dataset, cid: int) -> Code | None:
    value, scheme = text(item, "CodeValue"), text(item, "CodingSchemeDesignator")
    return as_member(scheme, value, cid) if value and scheme else None


def _directions(header: Dataset) -> Iterator[Item]:
    directions = _values(header, "PatientOrientation")
    if len(directions) == 2 and all(DIRECTION_FORM.fullmatch(direction) for direction in directions):
        yield Item(dcm("111044"), Text(directions[0]))
        yield Item(dcm("111043"), Text(directions[1]))


def _moments(header: Dataset) -> Iterator[Item]:
    """Yield study and content dates and times, those that are well-formed."""
    for name, keyword, form, kind in (
        ("111060", "StudyDate", DATE_FORM, Date),
        ("111061", "StudyTime", TIME_FORM, Time),
        ("111018", "ContentDate", DATE_FORM, Date),
        ("111019", "ContentTime", TIME_FORM, Time),
    ):
        value = text(header, keyword)
        if form.fullmatch(value):
            written: Value = kind(value)
            yield Item(dcm(name), written)


def _sizes(header: Dataset) -> Iterator[Item]:
    """Yield pixel spacing (row spacing is the vertical one) and the number of rows and columns."""
    spacing = _spacing_mm(header)
    if spacing is not None:
        yield Item(dcm("111026"), Number(spacing[1], MM))
        yield Item(dcm("111066"), Number(spacing[0], MM))
    for name, keyword in (("110910", "Rows"), ("110911", "Columns")):
        count = integer(header, keyword)
        if count:
            yield Item(dcm(name), Number(count, PIXELS))


def _spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Return (row, column) spacing at the detector of a radiograph, in the patient for CT."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        try:
            row, column = (float(value) for value in _values(header, keyword))
        except ValueError:
            continue
        if 0 < row <= MAX_SPACING_MM and 0 < column <= MAX_SPACING_MM:
            return row, column
    return None


def _values(header: Dataset, keyword: str) -> list[str]:
    try:
        value = header.get(keyword)
        values = [value] if value is None or isinstance(value, str) else list(value)
    except BAD_VALUE_ERRORS:
        return []
    return [str(each).strip() for each in values if each is not None]
