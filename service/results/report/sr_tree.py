# SPDX-License-Identifier: Apache-2.0
"""SR content trees as values (PS3.3 C.17.3): items, relationships by value and by reference, and their encoding.

A tree is built from the leaves up. An item that another one refers to is given as the item itself; its place in the
tree, which is what the file says (Referenced Content Item Identifier), is found when the tree is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

from service.codes import Code
from service.domain.instance import Instance
from service.results.object.equipment import code_element, reference_item, references_item

CONCEPT_NAME, CONCEPT_CODE = Tag("ConceptNameCodeSequence"), Tag("ConceptCodeSequence")
UNITS = Tag("MeasurementUnitsCodeSequence")

Path = tuple[int, ...]
"""Where an item stands: the root is (1,), its second child (1, 2) (PS3.3 C.18.8)."""


class Relationship(StrEnum):
    """Relationship Type (0040,A010)."""

    CONTAINS = "CONTAINS"
    HAS_PROPERTIES = "HAS PROPERTIES"
    HAS_CONCEPT_MOD = "HAS CONCEPT MOD"
    HAS_OBS_CONTEXT = "HAS OBS CONTEXT"
    HAS_ACQ_CONTEXT = "HAS ACQ CONTEXT"
    INFERRED_FROM = "INFERRED FROM"
    SELECTED_FROM = "SELECTED FROM"


class GraphicType(StrEnum):
    """Graphic Type (0070,0023) of an SCOORD (PS3.3 C.18.6.1.2)."""

    POINT = "POINT"
    POLYLINE = "POLYLINE"


class Value(Protocol):
    """What an item says, beside its name: one of the value types of PS3.3 table C.17.3-7."""

    @property
    def value_type(self) -> str:
        """Value Type (0040,A040)."""

    def write(self, dataset: Dataset) -> None:
        """Put the attributes of this value type into the item's data set."""


@dataclass(frozen=True, slots=True)
class Container:
    """CONTAINER, with the DCMR template that says what it holds ("" when none has that number)."""

    value_type: ClassVar[str] = "CONTAINER"
    template: str = ""

    def write(self, dataset: Dataset) -> None:
        """Write Continuity of Content and the template identification."""
        dataset.ContinuityOfContent = "SEPARATE"
        if self.template:
            item = Dataset()
            item.MappingResource = "DCMR"
            item.TemplateIdentifier = self.template
            dataset.ContentTemplateSequence = Sequence([item])


@dataclass(frozen=True, slots=True)
class Text:
    """TEXT."""

    value_type: ClassVar[str] = "TEXT"
    text: str

    def write(self, dataset: Dataset) -> None:
        """Write Text Value."""
        dataset.TextValue = self.text


@dataclass(frozen=True, slots=True)
class Coded:
    """CODE."""

    value_type: ClassVar[str] = "CODE"
    code: Code

    def write(self, dataset: Dataset) -> None:
        """Write Concept Code Sequence."""
        dataset[CONCEPT_CODE] = code_element("ConceptCodeSequence", self.code)


@dataclass(frozen=True, slots=True)
class Number:
    """NUM: a finite value and its unit (UCUM)."""

    value_type: ClassVar[str] = "NUM"
    value: float
    unit: Code

    def write(self, dataset: Dataset) -> None:
        """Write Measured Value Sequence; an infinite value raises ValueError."""
        measured = Dataset()
        measured.NumericValue = _decimal_string(self.value)
        measured[UNITS] = code_element("MeasurementUnitsCodeSequence", self.unit)
        dataset.MeasuredValueSequence = Sequence([measured])


def _decimal_string(value: float) -> str:
    """Return a number as DS; a whole one without a fraction, because some numbers must be integers."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 10**15 else format_number_as_ds(float(value))


@dataclass(frozen=True, slots=True)
class UidReference:
    """UIDREF."""

    value_type: ClassVar[str] = "UIDREF"
    uid: str

    def write(self, dataset: Dataset) -> None:
        """Write UID."""
        dataset.UID = self.uid


@dataclass(frozen=True, slots=True)
class Date:
    """DATE, as DICOM writes it (YYYYMMDD)."""

    value_type: ClassVar[str] = "DATE"
    date: str

    def write(self, dataset: Dataset) -> None:
        """Write Date."""
        dataset.Date = self.date


@dataclass(frozen=True, slots=True)
class Time:
    """TIME, as DICOM writes it (HHMMSS.FFFFFF)."""

    value_type: ClassVar[str] = "TIME"
    time: str

    def write(self, dataset: Dataset) -> None:
        """Write Time."""
        dataset.Time = self.time


@dataclass(frozen=True, slots=True)
class Image:
    """IMAGE: an instance, or one frame of it."""

    value_type: ClassVar[str] = "IMAGE"
    instance: Instance
    frame_number: int | None = None

    def write(self, dataset: Dataset) -> None:
        """Write Referenced SOP Sequence."""
        dataset.ReferencedSOPSequence = Sequence([reference_item(self.instance, frame_number=self.frame_number)])


@dataclass(frozen=True, slots=True)
class Reference:
    """IMAGE or COMPOSITE: an object of ours by its UIDs."""

    sop_class_uid: str
    sop_instance_uid: str
    is_document: bool = False

    @property
    def value_type(self) -> str:
        """Value Type: what shows no pixels is no IMAGE."""
        return "COMPOSITE" if self.is_document else "IMAGE"

    def write(self, dataset: Dataset) -> None:
        """Write Referenced SOP Sequence."""
        dataset.ReferencedSOPSequence = Sequence([references_item(self.sop_class_uid, self.sop_instance_uid)])


@dataclass(frozen=True, slots=True)
class Coordinates:
    """SCOORD: (column, row) points of the image that the item is selected from."""

    value_type: ClassVar[str] = "SCOORD"
    graphic_type: GraphicType
    points: tuple[tuple[float, float], ...]

    def write(self, dataset: Dataset) -> None:
        """Write Graphic Type and Graphic Data."""
        dataset.GraphicType = self.graphic_type.value
        dataset.GraphicData = [float(coordinate) for point in self.points for coordinate in point]


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship to another item: by value it stands below this one, by reference somewhere else in the tree."""

    relationship: Relationship
    target: "Item"
    is_reference: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """A content item. Two items are never equal: a reference means one certain item."""

    name: Code | None
    value: Value
    links: tuple[Link, ...] = ()


def contains(*items: Item) -> tuple[Link, ...]:
    """Return CONTAINS relationships by value."""
    return by_value(Relationship.CONTAINS, *items)


def by_value(relationship: Relationship, *items: Item) -> tuple[Link, ...]:
    """Return relationships to items that stand below."""
    return tuple(Link(relationship, item) for item in items)


def by_reference(relationship: Relationship, *items: Item) -> tuple[Link, ...]:
    """Return relationships to items that stand elsewhere in the tree."""
    return tuple(Link(relationship, item, is_reference=True) for item in items)


def items_of(root: Item) -> Iterator[Item]:
    """Yield the root and every item below it, parents first."""
    yield root
    for link in root.links:
        if not link.is_reference:
            yield from items_of(link.target)


def codes_of(root: Item) -> Iterator[Code]:
    """Yield every code that the tree uses."""
    for item in items_of(root):
        if item.name is not None:
            yield item.name
        if isinstance(item.value, Coded):
            yield item.value.code
        if isinstance(item.value, Number):
            yield item.value.unit


def write_tree(root: Item, dataset: Dataset) -> None:
    """Write the tree into a document: the root's attributes and its Content Sequence.

    Raises
    ------
    ValueError
        An item stands in the tree twice, or a reference leads to an item that does not stand in it.
    """
    _write_item(root, dataset, _places(root, (1,)))


def _places(item: Item, path: Path) -> dict[Item, Path]:
    places = {item: path}
    for number, link in enumerate(item.links, start=1):
        below = {} if link.is_reference else _places(link.target, (*path, number))
        twice = next(iter(places.keys() & below.keys()), None)
        if twice is not None:
            raise ValueError(f"{_title(twice)} stands in the tree twice; refer to it by reference the second time")
        places |= below
    return places


def _write_item(item: Item, dataset: Dataset, places: dict[Item, Path]) -> None:
    dataset.ValueType = item.value.value_type
    if item.name is not None:
        dataset[CONCEPT_NAME] = code_element("ConceptNameCodeSequence", item.name)
    item.value.write(dataset)
    if item.links:
        dataset.ContentSequence = Sequence([_link_item(link, places) for link in item.links])


def _link_item(link: Link, places: dict[Item, Path]) -> Dataset:
    dataset = Dataset()
    dataset.RelationshipType = link.relationship.value
    if not link.is_reference:
        _write_item(link.target, dataset, places)
    elif link.target in places:
        dataset.ReferencedContentItemIdentifier = list(places[link.target])
    else:
        raise ValueError(f"{link.relationship.value} refers to {_title(link.target)}, which is not in the tree; add it")
    return dataset


def _title(item: Item) -> str:
    name = "without a name" if item.name is None else f"'{item.name.meaning}'"
    return f"the {item.value.value_type} item {name}"
