# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stow import StowNode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., StowNode]]:
    """Return a function that starts a STOW-RS server; keyword arguments are StowNode's own."""
    started: list[StowNode] = []

    def start(**changes: Any) -> StowNode:
        root = tmp_path / f"node-{len(started)}"
        root.mkdir()
        started.append(StowNode(root, **changes))
        return started[-1]

    yield start
    for node in started:
        node.stop()


@pytest.fixture
def node(start: Callable[..., StowNode]) -> StowNode:
    return start()
