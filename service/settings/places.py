# SPDX-License-Identifier: Apache-2.0
"""Lines of config.yaml: where a key stands in the text."""

from collections.abc import Sequence

import yaml

from service.settings.agreement import Location


def line_of(node: yaml.Node | None, location: Location) -> int:
    """Return the line, from 1, of the deepest part of the location that the file holds; 0 for none."""
    line = 0
    for part in location:
        below = _child(node, part)
        if below is None:
            break
        line, node = below
    return line


def lines_of(node: yaml.Node | None, locations: Sequence[Location]) -> tuple[int, ...]:
    """Return the lines of several locations, in order, without those that the file does not hold."""
    return tuple(sorted({line for location in locations if (line := line_of(node, location))}))


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode):
        child = _entry(node, part)
        return None if child is None else (child.start_mark.line + 1, child)
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line + 1, value) for key, value in node.value if key.value == str(part)), None)
    return None


def _entry(node: yaml.SequenceNode, part: int | str) -> yaml.Node | None:
    """Return an entry of a list by its number, or by its `name`, as messages call it."""
    if isinstance(part, int):
        return node.value[part] if part < len(node.value) else None
    return next((entry for entry in node.value if _name(entry) == part), None)


def _name(entry: yaml.Node) -> str | None:
    if not isinstance(entry, yaml.MappingNode):
        return None
    return next((value.value for key, value in entry.value if key.value == "name"), None)
