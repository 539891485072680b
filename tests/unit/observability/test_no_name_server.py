# SPDX-License-Identifier: Apache-2.0
"""The HTTP port opens without asking a name server: where none answers, each start would wait for it."""

import subprocess
import sys

from harness.processes import free_port

PROGRAM = """
import sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.gethostby") else None)
from prometheus_client import CollectorRegistry
from service.observability.health import Health
from service.observability.http import HttpServer
from service.settings import HttpSettings
settings = HttpSettings.model_validate({"port": int(sys.argv[1])})
server = HttpServer(settings, health=Health(), registry=CollectorRegistry())
server.start()
server.stop()
sys.exit(", ".join(asked) or None)
"""


def test_opening_the_port_asks_nobody() -> None:
    command = [sys.executable, "-c", PROGRAM, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
