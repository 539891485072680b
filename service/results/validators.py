# SPDX-License-Identifier: Apache-2.0
"""Runs the independent validators that are installed: dciodvfy, dsrdump and dsr2html."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

TIMEOUT_SECONDS = 60
HOROS_OPTIONS = (
    "+X1",
    "--unknown-relationship",
    "--ignore-constraints",
    "--ignore-item-errors",
    "--skip-invalid-items",
)
"""The options with which Horos turns every report into a page; a report that fails here is not shown there."""
IGNORABLE = (
    # dcmtk is built without a converter for these; the bytes are right (results.md 6).
    "character set",
    "CharacterSet",
    "ISO 2022",
)

Validator = Callable[[Path], tuple[str, ...]]
"""Returns what is wrong with a file; nothing when it is sound."""


def dciodvfy(path: Path) -> tuple[str, ...]:
    """Return dicom3tools' errors; its exit status says nothing."""
    output = _run("dciodvfy", "-new", str(path))
    return tuple(f"dciodvfy: {line}" for line in output.splitlines() if line.startswith("Error"))


def dsrdump(path: Path) -> tuple[str, ...]:
    """Return DCMTK's complaints about a report; nothing for other objects."""
    return _complaints("dsrdump", _run("dsrdump", str(path)))


def dsr2html(path: Path) -> tuple[str, ...]:
    """Return DCMTK's complaints about rendering a report as Horos does."""
    with tempfile.TemporaryDirectory(prefix="dokuei-gate-") as folder:
        page = Path(folder) / "report.html"
        output = _run("dsr2html", *HOROS_OPTIONS, str(path), str(page))
        missing = () if page.exists() and page.stat().st_size else ("dsr2html: wrote no page",)
    return _complaints("dsr2html", output) + missing


FOR_EVERY_OBJECT: Mapping[str, Validator] = MappingProxyType({"dciodvfy": dciodvfy})
FOR_REPORTS: Mapping[str, Validator] = MappingProxyType({"dsrdump": dsrdump, "dsr2html": dsr2html})


def installed(table: Mapping[str, Validator]) -> tuple[Validator, ...]:
    """Return those of the validators whose program is on the search path."""
    return tuple(validator for name, validator in table.items() if shutil.which(name))


def _run(*command: str) -> str:
    """Return the program's error output; a program that hangs is itself a complaint."""
    try:
        finished = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"Error - {command[0]} did not finish in {TIMEOUT_SECONDS} s"
    text = finished.stderr.decode("utf-8", "replace")
    failed = finished.returncode != 0 and not text.strip()
    return f"Error - {command[0]} ended with status {finished.returncode}" if failed else text


def _complaints(name: str, output: str) -> tuple[str, ...]:
    lines = [line for line in output.splitlines() if line.startswith(("E:", "W:", "F:", "Error"))]
    return tuple(f"{name}: {line}" for line in lines if not any(word in line for word in IGNORABLE))
