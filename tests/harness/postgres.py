# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL server: its own cluster in a temporary folder, on a loopback port that nobody else uses."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

from harness.processes import free_port

PLACES = "/usr/lib/postgresql/*/bin"
SUPERUSER = "dokuei"
SPEED = ("shared_buffers=16MB", "max_connections=100", "autovacuum=off", "log_min_messages=warning")


def postgres_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL: on PATH, or where Debian puts it."""
    found = shutil.which(name)
    places = sorted(Path("/").glob(f"{PLACES.lstrip('/')}/{name}"))
    return str(places[-1]) if places else found


class PostgresServer:
    """A server with one superuser; `database` makes a new, empty database.

    PostgreSQL refuses to run as root: it then runs as the user `postgres`, which Debian's package makes.
    """

    def __init__(self) -> None:
        # Not below pytest's folder, which is closed to every other user.
        self.folder = Path(tempfile.mkdtemp(prefix="dokuei-postgres-"))
        self.port = free_port()
        self._data = self.folder / "cluster"
        self._count = 0
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C", "--no-sync")

    def url(self, name: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"

    def database(self) -> str:
        """Make a database, and return its URL."""
        self._count += 1
        name = f"test{self._count}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start, and wait until it answers; recovery after a crash included."""
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", *SPEED]
        given = " ".join(f"-c {option}" for option in options)
        self._run("pg_ctl", "start", "--wait", "--timeout=60", f"--options={given}", f"--log={self.folder / 'log'}")

    def stop(self, mode: str = "fast") -> None:
        """Stop; "immediate" is a crash."""
        self._run("pg_ctl", "stop", f"--mode={mode}", "--wait")

    def remove(self) -> None:
        """Stop without care, if it runs, and delete the cluster."""
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        path = postgres_program(program)
        if path is None:
            raise RuntimeError(f"{program} is not installed; run tests/install_peers.sh")
        command = [*_as_other_user(), path, f"--pgdata={self._data}", *arguments]
        result = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", timeout=90
        )
        if result.returncode != 0:
            raise RuntimeError(f"{program} failed: {result.stderr.decode(errors='replace')[-1000:]}")


def _as_other_user() -> Sequence[str]:
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups") if os.geteuid() == 0 else ()
