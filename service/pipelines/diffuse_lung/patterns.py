# SPDX-License-Identifier: Apache-2.0
"""The patterns that a package tells apart and what its manifest says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.codes import Code, code
from service.domain.errors import PackageError

NORMAL: Final = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One class of the classifier; a finding is made of it from `least_percent` of the lung upwards."""

    name: str
    title: str
    code: Code
    least_percent: float


def parse_patterns(parameters: Mapping[str, Any]) -> tuple[Pattern, ...]:
    """Read `parameters.patterns` of the manifest, in the order of the classifier's channels.

    Raises
    ------
    PackageError
        The list is missing or has no normal pattern, or one lacks a key or has an unknown code.
    """
    entries: Sequence[Mapping[str, Any]] = parameters.get("patterns", ())
    try:
        patterns = tuple(_pattern(entry) for entry in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise PackageError(
            f"parameters.patterns: {error}; each pattern has name, title, scheme, value and least_percent"
        ) from error
    if NORMAL not in {pattern.name for pattern in patterns}:
        raise PackageError(f"parameters.patterns: no pattern is called {NORMAL}; correct the manifest")
    return patterns


def _pattern(entry: Mapping[str, Any]) -> Pattern:
    return Pattern(
        name=str(entry["name"]),
        title=str(entry["title"]),
        code=code(str(entry["scheme"]), str(entry["value"])),
        least_percent=float(entry["least_percent"]),
    )
