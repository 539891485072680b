# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the test's own, on a Unix socket and a free loopback port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.processes import Program, free_port

FAST_START = ("-c", "shared_buffers=64MB", "-c", "max_connections=200")


class Postgresql:
    """Starts with an empty database "dokuei"; it flushes every commit, as it does by default."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="dokuei-postgresql-"))
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database."""
        return self.url_of("dokuei")

    def url_of(self, database: str) -> str:
        return f"postgresql+psycopg://dokuei@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        if not (self._folder / "data").exists():
            self._initialise()
        command = [*_as_postgres(), str(_binary("postgres")), "-D", str(self._folder / "data"), "-p", str(self.port)]
        command += ["-c", f"unix_socket_directories={self._folder}", "-c", "listen_addresses=127.0.0.1", *FAST_START]
        self._program = Program(command, log=self._folder.with_suffix(".log"))
        self._program.wait_for_port(self.port)
        self.create("dokuei")

    def create(self, database: str) -> str:
        """Create a database if it is missing and return its URL."""
        command = [str(_binary("createdb")), "-h", "127.0.0.1", "-p", str(self.port), "-U", "dokuei", database]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode and "already exists" not in answer.stderr:
            raise RuntimeError(f"createdb failed: {answer.stderr}")
        return self.url_of(database)

    def stop(self) -> None:
        """Stop it and delete all it held."""
        if self._program is not None:
            self._program.stop()
            self._program = None
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.with_suffix(".log").unlink(missing_ok=True)

    def _initialise(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        command = [*_as_postgres(), str(_binary("initdb")), "-D", str(self._folder / "data"), "-U", "dokuei"]
        subprocess.run([*command, "--auth=trust", "--encoding=UTF8"], check=True, capture_output=True, cwd="/")


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _binary(name: str) -> Path:
    """Debian keeps each version in a folder of its own, off the PATH."""
    found = shutil.which(name)
    if found:
        return Path(found)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not versions:
        raise FileNotFoundError(f"PostgreSQL's {name!r} is not installed; run tests/install_peers.sh")
    return versions[-1]
