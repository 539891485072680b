# SPDX-License-Identifier: Apache-2.0
"""Tables of the configuration parameters, from the types of config.yaml and the texts below their fields."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, get_args, get_origin

from service.settings import (
    AuditSettings,
    DestinationSettings,
    DicomwebSettings,
    NodeSettings,
    PeerSettings,
    PriorSettings,
    Section,
    StorageSettings,
    TlsClientSettings,
    TlsServerSettings,
)
from service.settings.results import RESERVED, ResultSettings
from tests.conformance.generated import joined, table

SECTIONS: Mapping[str, type[Section]] = {
    "node": NodeSettings,
    "node.tls, dicomweb.tls": TlsServerSettings,
    "storage": StorageSettings,
    "peers[]": PeerSettings,
    "destinations[]": DestinationSettings,
    "destinations[].results": ResultSettings,
    "destinations[].tls, audit.tls": TlsClientSettings,
    "priors": PriorSettings,
    "dicomweb": DicomwebSettings,
    "audit": AuditSettings,
}
"""The sections that change what the node says to other systems."""
TYPES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`false`, `true`",
    Path: "file or folder",
    IPv4Network: "IPv4 network",
    IPv6Network: "IPv6 network",
}
"""The types of single values in plain words."""


def parameters() -> str:
    """Return the parameters, with what they may be and what they are without a word."""
    rows = [
        (f"`{section}`", f"`{name}`", _values(field.annotation) + _range(field), _default(field), texts.get(name, ""))
        for section, model in SECTIONS.items()
        for texts in [_texts(model)]
        for name, field in model.model_fields.items()
    ]
    return table(("Section", "Parameter", "Values", "Default", "Meaning"), rows)


def _texts(model: type[Section]) -> Mapping[str, str]:
    """Return the text below each field of a section."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return found


def _values(annotation: Any) -> str:
    """Return what a value may be: the members of a choice, or the name of a type."""
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return joined(f"`{member.value}`" for member in annotation if member not in RESERVED)
    arguments = [each for each in get_args(annotation) if each is not type(None) and each is not Ellipsis]
    if not arguments:
        return TYPES.get(annotation, f"section {annotation.__name__}")
    if all(isinstance(each, str | int) for each in arguments):
        return joined(f"`{each}`" for each in arguments)
    if get_origin(annotation) is tuple:
        return f"list of {_values(arguments[0])}"
    types = [each for each in arguments if inspect.isclass(each) or get_args(each)]
    return " or ".join(dict.fromkeys(map(_values, types)))


def _range(field: Any) -> str:
    """Return the bounds of a number."""
    signs = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    found = [
        f"{word} {getattr(entry, sign)}"
        for entry in field.metadata
        for sign, word in signs.items()
        if hasattr(entry, sign)
    ]
    return f", {' '.join(found)}" if found else ""


def _default(field: Any) -> str:
    if field.is_required():
        return "(required)"
    value = field.default
    if isinstance(value, Section):
        return "see below"
    if isinstance(value, tuple):
        return joined(f"`{getattr(each, 'value', each)}`" for each in value) or "none"
    if value is None or value == "":
        return "none"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{getattr(value, 'value', value)}`"
