# SPDX-License-Identifier: Apache-2.0
"""Runs the independent validators that are installed: dciodvfy, dsrdump and dsr2html."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from service.results.source.inherited_items import CONTROL
from service.results.source.verbatim import INHERITED_BY_PICTURES, OPTIONAL, REQUIRED, stored_bytes

TIMEOUT_SECONDS = 60
HOROS_OPTIONS = (
    "+X1",
    "--unknown-relationship",
    "--ignore-constraints",
    "--ignore-item-errors",
    "--skip-invalid-items",
)
"""The options with which Horos turns every report into a page; a report that fails here is not shown there."""
CHARACTER_SETS = ("character set", "Character Set", "CharacterSet", "ISO 2022")
"""DCMTK may be built without converters for other scripts; our own text is ASCII and the rest is the source's."""
IGNORABLE = (
    *CHARACTER_SETS,
    # The source's own values, see INHERITED.
    "PatientModule",
    "PatientStudyModule",
    "GeneralStudyModule",
    # DCMTK says so of every CAD report: it checks value types and relationships, no templates.
    "Check for template constraints not yet supported",
)
"""Words of DCMTK's complaints that are not about our work."""
INHERITED = frozenset((*REQUIRED, *OPTIONAL, *INHERITED_BY_PICTURES))
"""Attributes copied byte for byte: an invalid age is the source's, and must not cost the patient the result."""
REFERENCE_UIDS = frozenset({"ReferencedSOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "UID"})
ELEMENT = re.compile(r"(\w+) \([0-9a-f]{4},[0-9a-f]{4}\)")
"""An element in DCMTK's words, as in "W: TimezoneOffsetFromUTC (0008,0201) VM != 1"."""
LOCATION = re.compile(r"<(/[^>]*)>")

Validator = Callable[[Path], tuple[str, ...]]
"""Returns what is wrong with a file; nothing when it is sound."""


def dciodvfy(path: Path) -> tuple[str, ...]:
    """Return dicom3tools' errors; its exit status says nothing."""
    output = _run("dciodvfy", "-new", str(path))
    errors = [line for line in output.splitlines() if line.startswith("Error")]
    return tuple(f"dciodvfy: {line}" for line in errors if not _is_inherited(line))


def _is_inherited(error: str) -> bool:
    """Say whether an error is about what came with the source: a copied attribute, or a UID referred to.

    What is missing inside a copied item is the source's too, a copied attribute that is missing is our doing.
    """
    location = LOCATION.search(error)
    keywords = re.findall(r"/(\w+)\(", location.group(1)) if location else []
    if not keywords or ("Missing" in error and len(keywords) == 1):
        return False
    is_bad_uid = "Value invalid for this VR" in error or "Illegal root for UID" in error
    return keywords[0] in INHERITED or (keywords[-1] in REFERENCE_UIDS and is_bad_uid)


def dsrdump(path: Path) -> tuple[str, ...]:
    """Return DCMTK's complaints about a report; nothing for other objects."""
    return _complaints("dsrdump", _run("dsrdump", str(path)))


def dsr2html(path: Path) -> tuple[str, ...]:
    """Return DCMTK's complaints about rendering a report as Horos does."""
    with tempfile.TemporaryDirectory(prefix="dokuei-gate-") as folder:
        page = Path(folder) / "report.html"
        output = _run("dsr2html", *HOROS_OPTIONS, str(path), str(page))
        is_written = page.exists() and page.stat().st_size > 0
    cannot_convert = any(words in output for words in CHARACTER_SETS)
    missing = () if is_written or cannot_convert else ("dsr2html: wrote no page",)
    return _complaints("dsr2html", output) + missing


@contextmanager
def without_broken_lines(path: Path) -> Iterator[Path]:
    """Return the file, or a copy of it in which no inherited value breaks the lines of a report.

    Validators print values as they are: a line feed in a name could write, or hide, a line of their own.
    """
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    inherited = [dataset.get_item(tag) for tag in map(Tag, sorted(INHERITED)) if tag in dataset]
    broken = [place for place in map(_place, inherited) if place and CONTROL.search(place[1])]
    if not broken:
        yield path
        return
    content = bytearray(path.read_bytes())
    for start, value in broken:
        content[start : start + len(value)] = CONTROL.sub(b"?", value)
    with tempfile.TemporaryDirectory(prefix="dokuei-gate-") as folder:
        checked = Path(folder) / "object.dcm"
        checked.write_bytes(content)
        yield checked


def _place(element: DataElement | RawDataElement) -> tuple[int, bytes] | None:
    """Return where in the file an element's text begins, and the text; None for a sequence."""
    start = element.value_tell if isinstance(element, RawDataElement) else element.file_tell
    value = None if str(element.VR) == "SQ" else stored_bytes(element)
    return None if value is None or start is None else (start, value.rstrip(b"\0"))


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
    return tuple(f"{name}: {line}" for line in lines if not _is_ignorable(line))


def _is_ignorable(line: str) -> bool:
    element = ELEMENT.search(line)
    is_inherited = element is not None and element.group(1) in INHERITED and "absent" not in line
    return is_inherited or any(word in line for word in IGNORABLE)
