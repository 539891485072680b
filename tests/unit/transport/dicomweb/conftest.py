# SPDX-License-Identifier: Apache-2.0
import subprocess
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


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "node.pem", folder / "node.key"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=node"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *options, *names], check=True, capture_output=True)
    return certificate, key
