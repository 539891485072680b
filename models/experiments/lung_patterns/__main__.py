# SPDX-License-Identifier: Apache-2.0
"""Compares two diffuse lung packages on the same phantom patches, unseen scanners first (report 000's confusion)."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.experiments.lung_patterns.confusion import Classes, Share, matrix, recalls
from models.experiments.lung_patterns.page import condition_page
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, usual_scanner
from models.recipes.diffuse_lung_data import Patches, chest_patches, pure_patches
from service.domain.errors import DokueiError
from service.inference.package import LoadedPackage, load_package

CONDITIONS = {"Unseen scanners": (96_000, shifted_scanner), "Scanners as in training": (97_000, usual_scanner)}
"""First seed and scanners of each condition; nothing else draws from these seeds. The harder condition is first."""
GRAPH = "patterns"
_BATCH = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write `confusion.md`, which is printed too."""
    options = _parser().parse_args(arguments)
    try:
        packages = tuple(load_package(folder, provider="cpu") for folder in (options.old, options.new))
        _check(packages)
    except (DokueiError, ValueError) as error:
        sys.stderr.write(f"lung_patterns: {error}\n")
        return 2
    names = [f"{package.identity.name} {package.identity.version}" for package in packages]
    lines = [f"# Confusion of twelve patterns: {names[0]} (old) and {names[1]} (proposed)", ""]
    for condition, (seed, scanner) in CONDITIONS.items():
        patches = pure_patches(options.textures, seed=seed, scanner=scanner)
        if options.chests:
            patches = patches.joined(chest_patches(options.chests, seed=seed + 1, scanner=scanner))
        old, new = (_said(package, patches, condition) for package in packages)
        truth = patches.classes
        overall = Share.of(old == truth), Share.of(new == truth)
        counts = matrix(truth, new, patterns=len(PATTERNS))
        lines += condition_page(condition, overall, recalls(truth, old, new, patterns=PATTERNS), counts)
    text = "\n".join(lines)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "confusion.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.lung_patterns", description=__doc__)
    parser.add_argument("old", type=Path, help="folder of the package to compare with")
    parser.add_argument("new", type=Path, help="folder of the proposed package; the same again shows one alone")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page")
    parser.add_argument("--textures", type=int, default=60, help="patches of pure texture of each pattern (60)")
    parser.add_argument("--chests", type=int, default=12, help="phantom chests that patches are cut from (12)")
    return parser


def _check(packages: Sequence[LoadedPackage]) -> None:
    """Refuse a package of other patterns: its columns would be compared with the wrong rows."""
    for package in packages:
        names = tuple(each.name for each in package.manifest.classes)
        if names != PATTERNS:
            raise ValueError(
                f"{package.identity.name} {package.identity.version} tells apart {', '.join(names)}; "
                f"the phantoms' patterns are {', '.join(PATTERNS)}"
            )


def _said(package: LoadedPackage, patches: Patches, condition: str) -> Classes:
    """Return the likeliest pattern of each patch."""
    starts = range(0, len(patches.images), _BATCH)
    parts: list[NDArray[np.int64]] = []
    for start in tqdm(starts, desc=f"{condition}: {package.identity.version}", unit="batch"):
        outputs = package.run(GRAPH, {"patches": patches.images[start : start + _BATCH]})
        parts.append(outputs["probability"].argmax(axis=1))
    return np.concatenate(parts)


if __name__ == "__main__":
    sys.exit(main())
