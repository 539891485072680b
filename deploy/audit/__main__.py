# SPDX-License-Identifier: Apache-2.0
"""Fails when a locked distribution has a known vulnerability: `python -m deploy.audit [LOCK...]`.

Exit status: 0 nothing to do, 1 a vulnerability without an exception, or an exception that does not hold.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from deploy import DEPLOY, VARIANTS
from deploy.audit.advisories import read_advisories, serving
from deploy.audit.exceptions import AdvisoryException, problems, read_exceptions
from deploy.lock import lock_file, read_lock

FOLDER = DEPLOY / "audit"


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit the lock files, all when none is named."""
    named = [Path(text) for text in (sys.argv[1:] if arguments is None else arguments)]
    locks = named or [lock_file(name) for name in (*VARIANTS, "bootstrap")]
    found = audit(locks, today=datetime.now(UTC).date())
    sys.stdout.write("".join(f"{line}\n" for line in found) or f"no known vulnerability in {len(locks)} lock files\n")
    raise SystemExit(1 if found else 0)


def audit(locks: Sequence[Path], *, today: date, folder: Path = FOLDER) -> list[str]:
    """Return what is wrong with the locked versions and with the exceptions on a day, one line each."""
    advisories = read_advisories(folder / "osv")
    exceptions = read_exceptions(folder / "exceptions.yaml")
    locked = [entry for lock in locks for entry in read_lock(lock).values()]
    wrong = list(problems(exceptions, advisories=advisories, locked=locked, today=today))
    with serving(advisories) as url:
        return wrong + [line for lock in locks for line in _pip_audit(lock, url, exceptions)]


def _pip_audit(lock: Path, url: str, exceptions: Sequence[AdvisoryException]) -> list[str]:
    """Run pip-audit, which neither resolves nor downloads here; return its table when it found something."""
    ignored = [option for entry in exceptions for option in ("--ignore-vuln", entry.advisory)]
    options = ["--disable-pip", "--require-hashes", "--vulnerability-service", "osv", "--osv-url", url, *ignored]
    with tempfile.TemporaryDirectory() as cache:  # its cache would answer for an earlier snapshot
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--cache-dir", cache, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"{lock.name}:", *(done.stdout or done.stderr).splitlines()]


if __name__ == "__main__":
    main()
