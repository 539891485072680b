# SPDX-License-Identifier: Apache-2.0
"""Modules and attribute types of the standard's information objects (PS3.3), from the tables that highdicom carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map

TYPES = ("1", "1C", "2", "2C", "3")
"""Of an attribute that several modules of an object have, the strictest holds."""
EXTENDED = "standard extended"
"""Where an attribute stands that the object's modules do not have."""

Path = tuple[str, ...]
"""The keywords of an attribute and of the sequences that it stands in, the outermost first."""


@dataclass(frozen=True, slots=True)
class Place:
    """The module of an attribute, its usage and information entity, and the attribute's type."""

    module: str
    type: str


@cache
def places(sop_class_uid: str) -> Mapping[Path, Place]:
    """Return where every attribute of a SOP class stands."""
    found: dict[Path, Place] = {}
    attributes = get_module_attribute_map()
    for module in get_iod_module_map()[get_sop_class_iod_map()[sop_class_uid]]:
        for entry in attributes.get(module["key"], []):
            path = (*entry["path"], entry["keyword"])
            place = Place(_title(module["key"]), entry["type"])
            if path not in found or TYPES.index(place.type) < TYPES.index(found[path].type):
                found[path] = place
    return found


def place_of(path: Path, sop_class_uid: str) -> Place:
    """Return where an attribute stands in a SOP class."""
    return places(sop_class_uid).get(path, Place(EXTENDED, "3"))


def _title(key: str) -> str:
    words = key.split("-")
    short = {"sop": "SOP", "sr": "SR", "sc": "SC", "lut": "LUT", "voi": "VOI"}
    return " ".join(short.get(word, word.capitalize()) for word in words)
