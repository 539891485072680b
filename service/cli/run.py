# SPDX-License-Identifier: Apache-2.0
"""`dokuei run`: the node in the foreground, as a service manager wants it."""

from pathlib import Path

from service.bootstrap.node import Node
from service.bootstrap.process import bound_malloc_arenas, forbid_core_dumps
from service.bootstrap.service_manager import READY, STOPPING, heartbeat, tell
from service.bootstrap.signals import SignalQueue
from service.domain.member import Role
from service.observability.logs import configure_logging
from service.settings import load_settings


def run(config: Path, *, role: Role, name: str | None) -> None:
    """Start the node, or one member of it, and block until it has drained after SIGTERM or SIGINT."""
    bound_malloc_arenas()
    forbid_core_dumps()
    signals = SignalQueue()
    settings = load_settings(config)
    log = configure_logging(settings.log)
    node = Node(settings, log, read_again=lambda: load_settings(config), role=role, name=name)
    with heartbeat(node.alive), node:
        tell(READY)
        node.wait(signals)
        tell(STOPPING)
