# SPDX-License-Identifier: Apache-2.0
"""YAML as plain data only: size cap, no aliases, no repeated keys, no types that JSON lacks."""

import json
from pathlib import Path
from typing import Any

import yaml

from service.domain.errors import PackageError


def _refusal(problem: str, mark: yaml.Mark | None) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader that also refuses aliases (they multiply in memory) and repeated keys (the last one would win)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _refusal("aliases (*name) are not allowed", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _refusal(f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, *, max_bytes: int) -> str:
    """Return the file's content as JSON text.

    Raises
    ------
    PackageError
        The file is missing, larger than `max_bytes`, or not plain YAML.
    """
    text = _read_capped(path, max_bytes=max_bytes)
    try:
        # Safe: _PlainLoader is a SafeLoader with more refusals.
        return json.dumps(yaml.load(text, Loader=_PlainLoader), allow_nan=False)  # noqa: S506
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise PackageError(f"{path}: not plain YAML ({error}); correct or re-install the package") from None


def _read_capped(path: Path, *, max_bytes: int) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise PackageError(f"{path}: larger than {max_bytes} bytes; a manifest holds no data")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{path}: cannot be read as UTF-8 text ({error}); re-install the package") from None
