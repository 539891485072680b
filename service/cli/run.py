# SPDX-License-Identifier: Apache-2.0
"""`dokuei run`: the node in the foreground, as a service manager wants it."""

from pathlib import Path

from service.bootstrap.node import Node
from service.settings import load_settings


def run(config: Path) -> None:
    """Start the node and block until it has drained after SIGTERM or SIGINT."""
    with Node(load_settings(config)) as node:
        node.wait()
