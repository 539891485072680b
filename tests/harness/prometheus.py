# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus with the rules of deploy/prometheus, on free loopback ports."""

import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from harness.monitoring import PROMETHEUS
from harness.processes import Program, free_port, wait_until

PROGRAM = "prometheus"


class Prometheus:
    """A Prometheus in a folder of its own that scrapes one node, if any, each second."""

    def __init__(self, folder: Path, *, node_port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
        del settings["alerting"]
        (job,) = settings["scrape_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{node_port}"] if node_port else []}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        self._program: Program | None = None

    @staticmethod
    def missing() -> bool:
        return shutil.which(PROGRAM) is None

    def start(self) -> None:
        command = [
            PROGRAM,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
        ]
        self._program = Program(command, log=self._folder / "prometheus.log")
        self._program.wait_for_port(self.port, seconds=60)
        wait_until(self._is_ready, seconds=60, what="Prometheus is not ready")

    def _is_ready(self) -> bool:
        """Whether it answers questions; 503 for a while after its start."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop(seconds=20)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query; raises HTTPError for one that cannot be parsed."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def value(self, expr: str) -> float | None:
        """The one value of a query, None when it has none."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else None

    def ask(self, what: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]
