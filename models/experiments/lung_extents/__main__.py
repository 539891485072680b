# SPDX-License-Identifier: Apache-2.0
"""Measures the extent of each pattern in each zone of phantom chests against what was drawn, unseen scanners first."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from models.experiments.lung_extents.measuring import Compared, compare, draw_chests
from models.experiments.lung_extents.page import condition_page
from models.experiments.lung_extents.picture import draw_agreement
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, usual_scanner
from models.recipes.diffuse_lung_data import DrawScanner
from service.domain.errors import DokueiError
from service.inference.package import LoadedPackage, load_package

CONDITIONS: Mapping[str, tuple[int, DrawScanner]] = {
    "Unseen scanners": (85_000, shifted_scanner),
    "Scanners as in training": (86_000, usual_scanner),
}
"""First seed and scanners of each condition; nothing else draws from these seeds. The harder condition is first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write `extents.md` and, of the last package, `extents.png`; the page is printed too."""
    options = _parser().parse_args(arguments)
    try:
        packages = {_title(package): package for package in map(_loaded, options.packages)}
    except (DokueiError, ValueError) as error:
        sys.stderr.write(f"lung_extents: {error}\n")
        return 2
    found: dict[str, dict[str, list[Compared]]] = {title: {name: [] for name in CONDITIONS} for title in packages}
    with tqdm(total=len(CONDITIONS) * options.chests, unit="chest", disable=None) as bar:
        for condition, (seed, scanner) in CONDITIONS.items():
            for chest in draw_chests(options.chests, seed=seed, slices=options.slices, scanner=scanner):
                for title, compared in compare(chest, packages).items():
                    found[title][condition].append(compared)
                bar.update()
    lines: list[str] = []
    for title, conditions in found.items():
        lines += [f"## {title}", ""]
        for condition, chests in conditions.items():
            lines += condition_page(condition, chests)
    options.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines)
    (options.out / "extents.md").write_text(text, "utf-8")
    draw_agreement(list(found.values())[-1], options.out / "extents.png")
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.lung_extents", description=__doc__)
    parser.add_argument(
        "packages", type=Path, nargs="+", metavar="PACKAGE", help="folders of packages, all read the same chests"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the page and the figure")
    parser.add_argument("--chests", type=int, default=14, help="phantom chests of each condition (14)")
    parser.add_argument("--slices", type=int, default=36, help="slices of each chest over 240 mm (36: 6.7 mm apart)")
    return parser


def _loaded(folder: Path) -> LoadedPackage:
    package = load_package(folder, provider="cpu")
    names = tuple(each.name for each in package.manifest.classes)
    if names != PATTERNS:
        raise ValueError(
            f"{_title(package)} tells apart {', '.join(names)}; the phantoms' patterns are {', '.join(PATTERNS)}"
        )
    return package


def _title(package: LoadedPackage) -> str:
    return f"{package.identity.name} {package.identity.version}"


if __name__ == "__main__":
    sys.exit(main())
