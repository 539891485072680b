# SPDX-License-Identifier: Apache-2.0
"""Draws every profusion x shape x zone as chest films, and tells what a package's ILO-style sheets say of them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.experiments.film_sheets.page import as_csv, as_markdown
from models.experiments.film_sheets.plan import all_studies, paired_studies
from models.experiments.film_sheets.reading import CONDITIONS, SheetReading, read_study
from service.domain.errors import DokueiError
from service.inference.package import LoadedPackage, load_package

_PITCH_MM = 0.5
"""That of the pixels in which zones are read; finer films take three times as long to draw."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write `sheets.md`, which is printed too, and `sheets.csv`."""
    options = _parser().parse_args(arguments)
    studies = paired_studies() if options.quick else all_studies()
    orders = [(study, condition) for condition in CONDITIONS for study in studies]
    try:
        package = _package(options.package)
        films = tqdm(orders, unit="film", disable=options.quiet)
        found = [read_study(study, condition, package, pitch_mm=options.pitch_mm) for study, condition in films]
    except (DokueiError, ValueError, OSError) as error:
        sys.stderr.write(f"film_sheets: {error}\n")
        return 2
    readings: list[SheetReading] = [reading for reading in found if reading is not None]
    if not readings:
        sys.stderr.write(f"film_sheets: all {len(found)} films were refused; nothing was measured\n")
        return 2
    page = as_markdown(readings, refused=len(found) - len(readings))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "sheets.csv").write_text(as_csv(readings), encoding="utf-8")
    (options.out / "sheets.md").write_text(page, encoding="utf-8")
    sys.stdout.write(page)
    return 0


def _package(folder: Path) -> LoadedPackage:
    package = load_package(folder, provider="cpu")
    if package.manifest.pipeline != "pneumoconiosis":
        raise ValueError(f"{folder} is a package of {package.manifest.pipeline}; give one of pneumoconiosis")
    return package


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.film_sheets", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of the pneumoconiosis package")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page and the table of zones")
    parser.add_argument(
        "--quick", action="store_true", help="12 films that hold every two of profusion, shape and zone"
    )
    parser.add_argument("--pitch-mm", type=float, default=_PITCH_MM, help="pixels of the drawn films (0.5)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
