# SPDX-License-Identifier: Apache-2.0
"""YAML as config.yaml may be: plain values on one line each, which everybody who reads the file reads alike.

YAML 1.1 can say much more: an alias multiplies in memory, a tag makes objects, a merge key brings in what is not on the
page, `3:05:12` is the number 11112 and `010` is eight. None of it is accepted.
"""

import re
import unicodedata
from typing import Any

import yaml

MAX_DEPTH = 32
"""Sections within sections; rules with conditions within conditions need the most."""
MAX_VALUES = 20_000
"""Keys, values, sections and lists of the whole file: a thousand peers have fewer."""
INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
"""General categories of Unicode that nobody sees: control characters, marks of direction and byte order, surrogates."""

STANDARD = "tag:yaml.org,2002:"
TEXT = f"{STANDARD}str"
FOREIGN = {f"{STANDARD}{kind}" for kind in ("int", "float", "timestamp", "merge", "value")}
NUMBER_STARTS = list("-+.0123456789")
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})$")
DECIMAL = re.compile(r"[-+]?([0-9]{1,17}\.[0-9]{0,17}|\.[0-9]{1,17})([eE][-+]?[0-9]{1,3})?$")


class PlainLoader(yaml.SafeLoader):
    """SafeLoader that refuses what `config.yaml` has no use for; every refusal has its line and says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read a value and what it holds, within the limits."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._check(event)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a section; a key given twice would say two things."""
        seen: set[str] = set()
        for key, _ in node.value:
            _check_key(key)
            if key.value in seen:
                raise refusal(f"key '{key.value}' is given twice; remove one", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _check(self, event: yaml.NodeEvent) -> None:
        self._values += 1
        problem = _problem(event, depth=self._depth, values=self._values)
        if problem:
            raise refusal(problem, event.start_mark)


def refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    """Return the error that names a place in the file."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _problem(event: yaml.NodeEvent, *, depth: int, values: int) -> str:
    if isinstance(event, yaml.AliasEvent):
        return "aliases (*name) are not accepted; write the value out"
    tag = getattr(event, "tag", None)
    if tag is not None:
        return f"tags ({tag!r}) are not accepted; remove it"
    if depth >= MAX_DEPTH:
        return f"more than {MAX_DEPTH} levels within each other; is it the right file?"
    if values > MAX_VALUES:
        return f"more than {MAX_VALUES} values; is it the right file?"
    if isinstance(event, yaml.ScalarEvent):
        return _invisible(event.value)
    return ""


def _invisible(value: str) -> str:
    for character in value:
        if unicodedata.category(character) in INVISIBLE:
            return f"holds the invisible character U+{ord(character):04X}; remove it, and keep a value on one line"
    return ""


def _check_key(key: yaml.Node) -> None:
    if not isinstance(key, yaml.ScalarNode) or key.tag != TEXT:
        shown = f" {key.value!r}" if isinstance(key, yaml.ScalarNode) else ""
        raise refusal(f"key{shown} is no word; keys are the words of docs/conformance/parameters.md", key.start_mark)


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in FOREIGN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _form in (("int", WHOLE), ("float", DECIMAL)):
    PlainLoader.add_implicit_resolver(f"{STANDARD}{_kind}", _form, NUMBER_STARTS)
