# SPDX-License-Identifier: Apache-2.0
"""Independent judges of DICOM objects: dciodvfy and dcentvfy (dicom3tools), dsrdump and dsr2html (DCMTK)."""

from collections.abc import Sequence
from pathlib import Path

from harness.dcmtk import run

NO_CHECK = "Check for template constraints not yet supported"
"""What DCMTK says of documents whose templates it has no rules for."""


def dciodvfy(path: Path) -> list[str]:
    """Return the errors that dciodvfy finds in one object; empty when it is valid."""
    result = run(["dciodvfy", "-new", str(path)])
    return _errors(result.stdout + result.stderr)


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """Return the contradictions between objects of the same patient, study or series."""
    result = run(["dcentvfy", *map(str, paths)])
    return _errors(result.stdout + result.stderr)


CHARACTER_SETS = ("Specific Character Set", "SpecificCharacterSet")
"""Debian's DCMTK cannot convert Japanese (ISO 2022 IR 87) and says so; that is no fault of the object's."""


def dsrdump(path: Path) -> str:
    """Return an SR as text; fails with dsrdump's complaint when it cannot read it or warns."""
    result = run(["dsrdump", "+Pc", str(path)])
    complaints = [line for line in result.stderr.splitlines() if line.startswith(("W:", "E:"))]
    complaints = [line for line in complaints if not any(words in line for words in (*CHARACTER_SETS, NO_CHECK))]
    if result.returncode or complaints:
        raise AssertionError(f"dsrdump refuses {path.name}: {result.stderr}")
    return result.stdout


def dsr2html(path: Path) -> str:
    """Return an SR as HTML, made as Horos does; fails with dsr2html's complaint."""
    horos = ["+X1", "--unknown-relationship", "--ignore-constraints", "--ignore-item-errors", "--skip-invalid-items"]
    result = run(["dsr2html", *horos, str(path)])
    if result.returncode or "E:" in result.stderr:
        raise AssertionError(f"dsr2html refuses {path.name}: {result.stderr}")
    return result.stdout


def _errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Error")]
