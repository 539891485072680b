# SPDX-License-Identifier: Apache-2.0
"""YAML as plain data only: no aliases, no repeated keys, no types that JSON lacks."""

import json
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


def yaml_to_json(data: bytes, *, where: str) -> str:
    """Return a YAML document as JSON text; `where` names it in errors.

    Raises
    ------
    PackageError
        It is not plain YAML in UTF-8.
    """
    try:
        # Safe: _PlainLoader is a SafeLoader with more refusals.
        return json.dumps(yaml.load(data.decode("utf-8"), Loader=_PlainLoader), allow_nan=False)  # noqa: S506
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise PackageError(f"{where}: not plain YAML ({error}); correct or re-install the package") from None
