# SPDX-License-Identifier: Apache-2.0
"""Reads the lock files: every distribution that a node is installed from, its version and its files' digests."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import CHECKOUT, DEPLOY

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

EVERYWHERE = ("otel",)
"""Extras beside the variant: where no network is, nothing can be added when `traces` is wanted."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One distribution of a lock file; `sha256` are the digests of all files of this version, in hexadecimal."""

    name: str
    version: str
    sha256: frozenset[str]


def lock_file(variant: str) -> Path:
    """Return the lock file of "cpu", "gpu", "openvino" or "bootstrap"."""
    return DEPLOY / "locks" / f"{variant}.txt"


def read_lock(path: Path) -> dict[str, Locked]:
    """Return the distributions of a lock file by canonical name.

    Raises
    ------
    ValueError
        An entry that is not `name==version` with at least one digest.
    """
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    entries = (line.strip() for line in text.splitlines())
    locked = [_entry(line, path) for line in entries if line and not line.startswith("#")]
    return {entry.name: entry for entry in locked}


def _entry(line: str, path: Path) -> Locked:
    pin, digests = _PIN.match(line), frozenset(_HASH.findall(line))
    if pin is None or not digests:
        raise ValueError(f"{path.name}: {line[:60]!r} is not name==version with a digest; run 'make lock' again")
    return Locked(canonicalize_name(pin["name"]), pin["version"], digests)


def project() -> dict[str, Any]:
    """Return table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def wanted(variant: str) -> list[Requirement]:
    """Return what pyproject.toml asks for in a variant, with the extras that every installed node has."""
    about = project()
    optional = [text for extra in (variant, *EVERYWHERE) for text in about["optional-dependencies"][extra]]
    return [Requirement(text) for text in (*about["dependencies"], *optional)]
