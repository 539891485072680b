# SPDX-License-Identifier: Apache-2.0
"""The node itself, as the program that a hospital runs."""

import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from harness.dcmtk import Called
from harness.markers import check
from harness.processes import Program, free_port, wait_until
from service.storage.database import DATABASE_FILE
from service.storage.statistics import SqlStatistics, StudyStatus


class NodeProgram:
    """`dokuei run` in a folder of its own on free loopback ports; `changes` are sections of config.yaml.

    `database_url` puts its journal into another database than the SQLite file in the data folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pacs: tuple[str, int],
        changes: dict[str, Any] | None = None,
        database_url: str | None = None,
    ) -> None:
        self.folder = folder
        self.database_url = database_url
        self.environment: dict[str, str] | None = None
        self.port, self.http_port = free_port(), free_port()
        self.options: tuple[str, ...] = ()
        self.called = Called(port=self.port)
        self.config = folder / "config.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        sections = {**self._sections(*pacs), **(changes or {})}
        # Golden studies of three packages beside each node of the tests would prove the same each time.
        sections["inference"] = {"self_test_studies": False, **sections.get("inference", {})}
        self.write_config(sections)
        self._program: Program | None = None
        self._starts = 0

    def write_config(self, sections: dict[str, Any]) -> None:
        """Write config.yaml; a running node does not notice."""
        self.config.write_text(yaml.safe_dump(sections))

    def change(self, sections: dict[str, dict[str, Any]]) -> None:
        """Change options within sections of config.yaml; a running node does not notice."""
        present = yaml.safe_load(self.config.read_text())
        for name, options in sections.items():
            present[name] = {**present.get(name, {}), **options}
        self.write_config(present)

    def _sections(self, pacs_title: str, pacs_port: int) -> dict[str, Any]:
        return {
            "node": {"host": "127.0.0.1", "port": self.port},
            "storage": self.storage_section(),
            "peers": [
                {"name": "modality", "ae_title": "MODALITY", "address": "127.0.0.1"},
                {"name": "pacs", "ae_title": pacs_title, "address": "127.0.0.1"},
            ],
            "destinations": [
                {
                    "name": "pacs",
                    "ae_title": pacs_title,
                    "host": "127.0.0.1",
                    "port": pacs_port,
                    "retry_first_seconds": 0.5,
                    "retry_max_seconds": 2,
                }
            ],
            "close": {"quiet_seconds": 4, "settle_seconds": 1},
            "site": {"allow_demonstration": True},
            "http": {"port": self.http_port},
            "log": {"level": "debug"},  # and whatever it says is searched for patients when the node ends
        }

    def storage_section(self, **changes: Any) -> dict[str, Any]:
        """Section `storage`, with changes."""
        section = {"folder": str(self.folder / "data"), "reserve_bytes": 100_000_000, **changes}
        return section if self.database_url is None else {**section, "database_url": self.database_url}

    def start(self, *, wait: bool = True) -> None:
        self._starts += 1
        command = [sys.executable, "-m", "service", "run", str(self.config), *self.options]
        log = self.folder / f"node-{self._starts}.log"
        self._program = Program(command, log=log, environment=self.environment)
        if wait:
            self._program.wait_for_port(self.waits_for, seconds=120)

    def wait_until_it_listens(self) -> None:
        """Wait for a start that was not waited for."""
        if self._program is not None:
            self._program.wait_for_port(self.waits_for, seconds=120)

    def kill(self) -> None:
        """End it as a power cut would; children notice by themselves."""
        if self._program is not None:
            self._program.kill()
            self._program = None
            check(self.log, "the log of a node")

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop(seconds=60)
            self._program = None
            check(self.log, "the log of a node")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent process."""
        if self._program is not None:
            self._program.send_signal(number)

    def wait_for_end(self, *, seconds: float) -> int:
        """Wait until the parent process has ended; return its exit status."""
        if self._program is None:
            raise RuntimeError("the node does not run")
        wait_until(lambda: not self.runs, seconds=seconds, what="the node still runs")
        status, self._program = self._program.exit_status, None
        return status

    @property
    def waits_for(self) -> int:
        """The port that is open when it has started."""
        return self.port

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.storage_section()["folder"])

    @property
    def pid(self) -> int:
        """Process id of the parent process."""
        if self._program is None:
            raise RuntimeError("the node does not run")
        return self._program.pid

    @property
    def runs(self) -> bool:
        return self._program is not None and self._program.runs

    @property
    def log(self) -> str:
        """Everything that the node has printed, over all its starts."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("node-*.log")))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and f'"{name}"' in line]
        return [line for line in lines if line["event"] == name]

    def http(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @contextmanager
    def _engine(self) -> Iterator[sa.Engine]:
        url = (self.database_url or f"sqlite:///{self.folder / 'data' / DATABASE_FILE}").replace(
            "postgresql://", "postgresql+psycopg://"
        )
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def journal(self) -> Iterator[sa.Connection]:
        """A connection of our own to the node's database, to read."""
        with self._engine() as engine, engine.connect() as connection:
            yield connection

    def studies(self) -> dict[str, StudyStatus]:
        """The analysed studies in the ledger by Study Instance UID."""
        with self._engine() as engine:
            rows = SqlStatistics(engine).studies(limit=10_000)
        return {row.study_instance_uid: row for row in rows}

    def wait_until_idle(self, *, seconds: float = 120) -> dict[str, StudyStatus]:
        """Wait until nothing is left to do."""

        def idle() -> bool:
            with self._engine() as engine:
                return not any(SqlStatistics(engine).counts().pending.values())

        wait_until(idle, seconds=seconds, what="the node is still busy")
        return self.studies()

    def wait_for_results(self, count: int, *, seconds: float = 120) -> dict[str, StudyStatus]:
        """Wait until this many studies have all their results delivered."""

        def finished() -> bool:
            return sum(row.state == "finished" for row in self.studies().values()) >= count

        try:
            wait_until(finished, seconds=seconds, what=f"fewer than {count} studies finished")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.studies()}\n{self.log[-6000:]}") from error
        return self.studies()
