# SPDX-License-Identifier: Apache-2.0
"""Independent judges: dciodvfy and dcentvfy (dicom3tools), dsrdump and dsr2html (DCMTK), PixelMed's (templates)."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from harness.dcmtk import run

PIXELMED = Path("/usr/share/java/pixelmed.jar")
"""PixelMed, whose validator knows the templates of mammography CAD; the tests that ask it need Java as well."""
XPATH_LIMITS = ("xpathExprOpLimit", "xpathExprGrpLimit", "xpathTotalOpLimit")
"""Java refuses the validator's style sheet, which is larger than what it lets programs compile by default."""
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


def pdf_text(path: Path) -> str:
    """Return the text of a PDF on one line without blanks, as poppler reads it; fails where qpdf finds it damaged."""
    checked = run(["qpdf", "--check", str(path)])
    if checked.returncode:
        raise AssertionError(f"qpdf finds fault with {path.name}: {checked.stdout}{checked.stderr}")
    return "".join(run(["pdftotext", "-enc", "UTF-8", str(path), "-"]).stdout.split())


def pdf_typefaces(path: Path) -> dict[str, bool]:
    """Return the typefaces that a PDF names, and whether each is embedded."""
    lines = run(["pdffonts", str(path)]).stdout.splitlines()[2:]
    return {line.split()[0]: line.split()[-5] == "yes" for line in lines}


def pixelmed(path: Path) -> list[str]:
    """Return the errors that PixelMed's validator finds in an SR; it knows no template of Chest CAD SR."""
    limits = [f"-Djdk.xml.{name}=0" for name in XPATH_LIMITS]
    validator = "com.pixelmed.validate.DicomSRValidator"
    result = run(["java", *limits, "-cp", str(PIXELMED), validator, str(path)], seconds=300)
    if "IOD validation complete" not in result.stdout + result.stderr:
        raise AssertionError(f"PixelMed's validator did not finish: {result.stderr}")
    lines = (result.stdout + result.stderr).splitlines()
    return [line for line in lines if line.startswith("Error") or "illegal" in line]


def _errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Error")]


def dcmqi(program: str, path: Path, folder: Path) -> list[str]:
    """Read an object as 3D Slicer does, with a program of dcmqi; return its complaints, and that it died."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(str(files("dcmqi"))) / "bin" / program
    result = run([str(place), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"])
    lines = (result.stdout + result.stderr).splitlines()
    complaints = [line for line in lines if line.startswith(("E:", "W:", "ERROR", "FATAL", "Error"))]
    return complaints + ([f"{program} ended with status {result.returncode}"] if result.returncode else [])
