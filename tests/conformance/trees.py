# SPDX-License-Identifier: Apache-2.0
"""Content trees of the reports that are created: which item stands where, how often, and what it may say."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pydicom.dataset import Dataset

from tests.conformance.attributes import Group, groups
from tests.conformance.generated import joined, table

MOST_CODES = 8
"""So many codes are listed for an item; of more, their number is said."""
LONGEST_TEXT = 60

Concept = tuple[str, str, str]
Key = tuple[str, str, Concept | None]
"""Relationship, value type and concept name of an item."""


@dataclass(slots=True)
class Node:
    """An item of the tree, from all examples."""

    parents: int = 0
    with_it: int = 0
    most: int = 0
    values: dict[str, None] = field(default_factory=dict)
    children: dict[Key, "Node"] = field(default_factory=dict)


def content_of(group: Group) -> str:
    """Return the content tree of a kind of report."""
    root = Node()
    documents = [member.dataset for member in groups()[group]]
    for document in documents:
        _note(root, document)
    title = joined(_concept_text(_concept(document)) for document in documents)
    head = ("Item", "Relationship, value type", "Number", "Value")
    rows = [(title, f"root, {documents[0].ValueType}", "1", joined(root.values))]
    return table(head, [*rows, *_rows(root, depth=1)])


def _note(node: Node, item: Dataset) -> None:
    node.values.setdefault(_value(item))
    children = list(item.get("ContentSequence") or [])
    counts = Counter(map(_key, children))
    for key in counts:
        node.children.setdefault(key, Node())
    for key, child in node.children.items():
        child.with_it += counts[key] > 0
        child.most = max(child.most, counts[key])
    node.parents += 1
    for child in children:
        _note(node.children[_key(child)], child)


def _key(item: Dataset) -> Key:
    if "ReferencedContentItemIdentifier" in item:
        return str(item.RelationshipType), "by reference", None
    return str(item.RelationshipType), str(item.ValueType), _concept(item)


def _concept(item: Dataset) -> Concept | None:
    names = item.get("ConceptNameCodeSequence")
    return _code(names[0]) if names else None


def _code(item: Dataset) -> Concept:
    return str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning)


def _concept_text(concept: Concept | None) -> str:
    return "(no name)" if concept is None else f"({', '.join(concept)})"


def _rows(node: Node, *, depth: int) -> Iterator[Sequence[str]]:
    for (relationship, value_type, concept), child in node.children.items():
        least = "1" if child.with_it == node.parents else "0"
        most = "1" if child.most == 1 else "n"
        number = "1" if (least, most) == ("1", "1") else f"{least}-{most}"
        yield f"{'> ' * depth}{_concept_text(concept)}", f"{relationship}, {value_type}", number, _values(child)
        yield from _rows(child, depth=depth + 1)


def _values(node: Node) -> str:
    values = [value for value in node.values if value]
    if not values:
        return ""
    if len(values) > MOST_CODES or any(len(value) > LONGEST_TEXT for value in values):
        return "see the codes" if all(value.startswith("(") for value in values) else ""
    return " or ".join(values)


def _value(item: Dataset) -> str:
    """Return what an item says, as far as a table can list it."""
    say = SAID.get(str(item.get("ValueType", "")))
    return say(item) if say else ""


def _template(item: Dataset) -> str:
    templates = item.get("ContentTemplateSequence")
    return f"TID {templates[0].TemplateIdentifier}" if templates else ""


def _frame(item: Dataset) -> str:
    return "with frame number" if "ReferencedFrameNumber" in item.ReferencedSOPSequence[0] else ""


SAID: Mapping[str, Callable[[Dataset], str]] = MappingProxyType(
    {
        "CODE": lambda item: _concept_text(_code(item.ConceptCodeSequence[0])),
        "NUM": lambda item: f"in {_code(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0])[0]}",
        "TEXT": lambda item: str(item.TextValue),
        "CONTAINER": _template,
        "SCOORD": lambda item: str(item.GraphicType),
        "IMAGE": _frame,
    }
)
"""What the value types say that can be listed."""
