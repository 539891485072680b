# SPDX-License-Identifier: Apache-2.0
"""Attribute tables of the objects that are created: module, type, presence, value and where the value comes from.

Presence and values are read off the examples. Types are the standard's. Where the examples cannot say where a value
comes from, `DESCRIBED` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from service.results.lint.rules import RULES
from service.results.source.verbatim import INHERITED_BY_PICTURES, OPTIONAL, REQUIRED
from tests.conformance.described import BY_REPRESENTATION, DESCRIBED
from tests.conformance.examples import Example, examples
from tests.conformance.generated import joined, table
from tests.conformance.standard import EXTENDED, Path, place_of

Group = tuple[str, str]
"""Kind and SOP class of objects that are described together."""
COPIED = frozenset({*REQUIRED, *OPTIONAL, *INHERITED_BY_PICTURES})
UNOPENED = frozenset({"ContentSequence", *OPTIONAL, *INHERITED_BY_PICTURES})
"""Sequences whose items are not listed: the content trees have tables of their own, the others are the source's."""
ITEMS_LOOKED_AT = 3
SHORTEST_LIST = 6
"""So many different values are listed; more are described."""
LONGEST_VALUE = 80


@dataclass(slots=True)
class Seen:
    """What the examples of a group show of one attribute."""

    element: DataElement
    holders: int = 0
    present: int = 0
    filled: int = 0
    copied: int = 0
    values: dict[str, None] = field(default_factory=dict)


@cache
def groups() -> Mapping[Group, Sequence[Example]]:
    """Return the examples by kind and SOP class, in the order of the rules."""
    found: dict[Group, list[Example]] = defaultdict(list)
    for item in examples():
        found[str(item.entry.kind), item.entry.sop_class_uid].append(item)
    order = list(RULES)
    return dict(sorted(found.items(), key=lambda pair: (order.index(pair[0][1]), pair[0][0])))


@cache
def _seen(members: tuple[Example, ...]) -> Mapping[Path, Seen]:
    found: dict[Path, Seen] = {}
    holders: dict[Path, int] = defaultdict(int)
    for member in members:
        for path, holder in _holders(member.dataset, ()):
            holders[path] += 1
            for element in holder:
                _note(found, (*path, element.keyword), element, member.source)
    for path, seen in found.items():
        seen.holders = holders[path[:-1]]
    return found


def _holders(dataset: Dataset, path: Path) -> Iterator[tuple[Path, Dataset]]:
    """Yield the data set and every item in it, as deep as tables go."""
    yield path, dataset
    for element in dataset:
        if element.VR == "SQ" and element.keyword not in UNOPENED and not element.keyword.endswith("CodeSequence"):
            for item in element.value[:ITEMS_LOOKED_AT]:
                yield from _holders(item, (*path, element.keyword))


def _note(found: dict[Path, Seen], path: Path, element: DataElement, source: Dataset) -> None:
    seen = found.setdefault(path, Seen(element))
    seen.present += 1
    seen.filled += not element.is_empty
    seen.copied += element.keyword in COPIED and str(source.get(element.keyword) or "") == str(element.value or "")
    if len(seen.values) <= SHORTEST_LIST and not element.is_empty:
        seen.values.setdefault(_value(element))


def _value(element: DataElement) -> str:
    if element.keyword.endswith("CodeSequence"):
        return joined(
            f"({item.CodeValue}, {item.CodingSchemeDesignator}, {item.CodeMeaning})" for item in element.value
        )
    if element.VR in {"SQ", "OB", "OW", "OF", "UN"}:
        return ""
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(map(str, values))


Row = tuple[str, str, str, str, str, str]
"""Module, attribute, type, presence, value, source."""


def _row(path: Path, seen: Seen, sop_class_uid: str) -> Row:
    place = place_of(path, sop_class_uid)
    value, source = _said(path, seen)
    return place.module, _title(path), place.type, _presence(seen), value, source


def _title(path: Path) -> str:
    tag = Tag(tag_for_keyword(path[-1]) or 0)
    return f"{'> ' * (len(path) - 1)}{path[-1]} ({tag.group:04X},{tag.element:04X})"


def _presence(seen: Seen) -> str:
    """Return presence in the words of PS3.2: always, attribute or value not always present, empty."""
    if seen.present < seen.holders:
        return "ANAP"
    if seen.filled == 0:
        return "EMPTY"
    return "ALWAYS" if seen.filled == seen.present else "VNAP"


def _said(path: Path, seen: Seen) -> tuple[str, str]:
    described = DESCRIBED.get(">".join(path[-2:])) if len(path) > 1 else None
    described = described or DESCRIBED.get(path[-1])
    if described:
        return _split(described)
    if seen.filled == 0:
        return "", "FIXED"
    if path[-1] in COPIED and seen.copied == seen.present:
        return "the source's", "COPY"
    values = [value for value in seen.values if value]
    if values and len(values) <= SHORTEST_LIST and all(len(value) <= LONGEST_VALUE for value in values):
        representation = BY_REPRESENTATION.get(seen.element.VR) if seen.element.VR != "SQ" else None
        if representation is None or seen.element.keyword.endswith("ClassUID"):
            return " or ".join(f"`{value}`" if seen.element.VR != "SQ" else value for value in values), _chosen(seen)
    return _split(BY_REPRESENTATION.get(seen.element.VR, "computed | AUTO"))


def _chosen(seen: Seen) -> str:
    return "FIXED" if len(seen.values) == 1 else "AUTO"


def _split(text: str) -> tuple[str, str]:
    value, _, source = text.partition(" | ")
    return value, source


@cache
def _rows(group: Group | None) -> Mapping[Path, Row]:
    """Return the rows of a group; those of all objects together for None."""
    members = tuple(examples() if group is None else groups()[group])
    uid = members[0].entry.sop_class_uid if group is None else group[1]
    return {path: _row(path, seen, uid) for path, seen in _seen(members).items()}


@cache
def _common() -> frozenset[Path]:
    """Return the attributes of which every object says the same."""
    of_all = _rows(None)
    return frozenset(
        path
        for path, row in of_all.items()
        if all(path in _rows(group) and _rows(group)[path][4:] == row[4:] for group in groups())
    )


HEAD = ("Module", "Attribute", "Type", "Presence", "Value", "Source")


def common_attributes() -> str:
    """Return the attributes of which every object says the same."""
    return table(HEAD, [_pooled(path) for path in _ordered(_common())])


def _pooled(path: Path) -> Row:
    """Return the row of an attribute of all objects; where they have it in different modules, none is named."""
    _, title, _, *said = _rows(None)[path]
    own = [_rows(group)[path] for group in groups()]
    modules, types = dict.fromkeys(row[0] for row in own), dict.fromkeys(row[2] for row in own)
    module = joined(modules) if len(modules) == 1 else "by object"
    return module, title, " or ".join(sorted(types)), said[0], said[1], said[2]


def attributes_of(group: Group) -> str:
    """Return the attributes of a kind of object, without those that all objects have."""
    rows = _rows(group)
    return table(HEAD, [rows[path] for path in _ordered(set(rows) - _common())])


def _ordered(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: [tag_for_keyword(keyword) or 0 for keyword in path])


def extended_attributes() -> str:
    """Return the attributes that objects have beside those of their modules."""
    found = [
        (_title(path), f"{group[0]} ({group[1]})", row[4])
        for group in groups()
        for path, row in _rows(group).items()
        if row[0] == EXTENDED
    ]
    return (
        table(("Attribute", "Object", "Value"), found)
        if found
        else "None: no object has an attribute that its modules do not have.\n"
    )


def private_attributes() -> str:
    """Return the private attributes of the objects."""
    one_of_each = [members[0].dataset for members in groups().values()]
    groups_of = {element.tag.group for dataset in one_of_each for element in dataset.iterall()}
    private = sorted(group for group in groups_of if group % 2)
    return f"Groups {joined(f'{group:04X}' for group in private)}.\n" if private else "None.\n"


def copied_attributes() -> str:
    """Return what is copied from the source, into which objects."""
    rows = [
        *((keyword, "every object", "type 1 or 2: empty where the source has none") for keyword in REQUIRED),
        *((keyword, "every object", "where the source has it") for keyword in OPTIONAL),
        *((keyword, "objects made from an image", "where the source has it") for keyword in INHERITED_BY_PICTURES),
    ]
    return table(
        ("Attribute", "Copied into", "When"), [(_title((keyword,)), where, when) for keyword, where, when in rows]
    )
