# SPDX-License-Identifier: Apache-2.0
"""Where commands of the documents are executed: a folder with the configuration of README.md, on loopback alone."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from doc_blocks import ROOT, Command, blocks
from doc_table import Row

from harness.orthanc import Orthanc
from harness.processes import Program, free_port, wait_until

SECONDS = 240
QUIET = "inference: {self_test_studies: false}\nnode: {ae_title: DOKUEI, host: 127.0.0.1, port: 11112}\n"


@dataclass(frozen=True, slots=True)
class Executed:
    """A command, what it ended with, and what was said from the beginning of its block."""

    command: Command
    status: int
    output: str


class Sandbox:
    """A folder in which commands run as the documents write them."""

    def __init__(self, folder: Path, *, pacs: Orthanc | None = None) -> None:
        self.folder = folder
        self.ports = {"11112": free_port(), "9180": free_port()}
        self.ports["4242"] = pacs.dicom_port if pacs else free_port()
        self.ports["8042"] = pacs.http_port if pacs else free_port()
        self._node: Program | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._write_programs()
        (folder / "config.yaml").write_text(self.translated(documented_configuration()))

    def _write_programs(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        for name, words in {"dokuei": "-m service", "python": "", "python3": ""}.items():
            path = programs / name
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            path.chmod(0o755)

    def translated(self, text: str) -> str:
        """Put the sandbox's own places and ports where the documents have a hospital's."""
        for told, meant in {
            "/opt/dokuei/bin/": "",
            "/etc/dokuei": str(self.folder),
            "/var/lib/dokuei": str(self.folder / "data"),
            "10.0.0.5": "127.0.0.1",
            **{told: str(port) for told, port in self.ports.items()},
        }.items():
            text = text.replace(told, meant)
        return text

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        packages = str(ROOT / "models" / "packages")
        return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PACKAGES": packages, "TCP_NODELAY": "1"}

    def execute(self, chosen: Sequence[tuple[Command, Row]]) -> list[Executed]:
        """Run the commands of a block one after the other in one shell."""
        script, statuses = "", self.folder / "statuses"
        statuses.unlink(missing_ok=True)
        for command, row in chosen:
            source = command.source
            for told, meant in row.instead:
                source = source.replace(told, meant)
            script += f"{row.before}\n{self.translated(source)}\necho $? >> {statuses}\n"
        answer = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            text=True,
            check=False,
        )
        told = [int(line) for line in statuses.read_text().split()] if statuses.exists() else []
        return [Executed(command, status, answer.stdout) for (command, _), status in zip(chosen, told, strict=True)]

    def serve(self, command: Command) -> None:
        """Start the node as the document says, and wait until it is ready."""
        started = f"cd {self.folder} && exec {self.translated(command.text)}"
        self._node = Program(["bash", "-c", started], log=self.folder / "node.log", environment=self.environment)
        wait_until(self._is_ready, seconds=120, what=f"{command.text}: the node does not become ready")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['9180']}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> int:
        """End the node with SIGTERM; return its exit status."""
        if self._node is None:
            return 0
        node, self._node = self._node, None
        node.stop(seconds=60)
        return node.exit_status


def documented_configuration() -> str:
    """The first block of YAML in README.md, but with the golden studies of three packages left out."""
    text = next(block.text for block in blocks(ROOT / "README.md") if block.language == "yaml")
    return text.replace("node: {ae_title: DOKUEI, port: 11112}\n", QUIET)
