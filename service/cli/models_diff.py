# SPDX-License-Identifier: Apache-2.0
"""`dokuei models diff`: what changed between two packages."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from service.bootstrap.golden_record import differences
from service.bootstrap.package_making import read_unproven
from service.cli.console import console, print_json, print_table
from service.inference.difference import Change, PackageDifference, compare_packages
from service.inference.package_files import PackageFiles

_SHOWN = 20


def diff(before: Path, after: Path, *, as_json: bool) -> int:
    """Print every difference; exit status 1 when there is any."""
    old, new = read_unproven(before.resolve()), read_unproven(after.resolve())
    found = compare_packages(old, new)
    studies = _studies(old, new)
    if as_json:
        print_json({**asdict(found), "golden_studies": studies})
    else:
        _tell(found, studies)
    return 0 if found.before == found.after else 1


def _studies(old: PackageFiles, new: PackageFiles) -> dict[str, list[str]]:
    """Return how the expected records of golden studies of both packages differ, by the study's name."""
    shared = {study.name: study for study in old.manifest.golden_studies}
    result: dict[str, list[str]] = {}
    for study in new.manifest.golden_studies:
        if study.name in shared:
            before, after = _record(old, study.expected), _record(new, study.expected)
            found = list(islice(differences(after, before, tolerance=1e-6), _SHOWN))
            result |= {study.name: found} if found else {}
    return result


def _record(files: PackageFiles, name: str) -> Any:
    return json.loads(files.contents[name]).get("result")


def _tell(found: PackageDifference, studies: dict[str, list[str]]) -> None:
    if found.before == found.after:
        console.print(f"the same package: {found.before}", markup=False)
        return
    console.print(f"{found.before}\n{found.after}", markup=False)
    sections: tuple[tuple[str, Sequence[Change]], ...] = (
        ("Manifest", found.manifest),
        ("Operating points", found.operating_points),
        ("Graphs", found.graphs),
        ("Files", found.files),
    )
    for title, changes in sections:
        if changes:
            print_table(title, ("key", "before", "after"), [_row(change) for change in changes])
    if found.golden:
        rows = [(key, f"{value:.3g}" if isinstance(value, float) else value) for key, value in found.golden.items()]
        print_table("Golden results", ("file: output", "largest difference"), rows)
    for name, sentences in studies.items():
        print_table(f"Golden study {name}", ("difference",), [(sentence,) for sentence in sentences])


def _row(change: Change) -> tuple[str, str, str]:
    return change.key, str(change.before), str(change.after)
