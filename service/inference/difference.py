# SPDX-License-Identifier: Apache-2.0
"""What changed between two packages: for the person who decides whether a new version may replace the old one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from service.inference.golden import golden_arrays
from service.inference.manifest import Manifest
from service.inference.onnx_file import operators_of
from service.inference.package_files import PackageFiles

ABSENT: Final = "(absent)"
_TOLD_APART: Final = ("graphs", "operating_points", "golden", "files")
"""Keys of the manifest that have a section of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key: what it was and what it is; ABSENT where it is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageDifference:
    """Everything that changed, by section; empty tuples where nothing did.

    `golden` has, by golden file and output, the largest absolute difference of the stored results for equal inputs.
    """

    before: str
    after: str
    manifest: tuple[Change, ...] = ()
    operating_points: tuple[Change, ...] = ()
    graphs: tuple[Change, ...] = ()
    files: tuple[Change, ...] = ()
    golden: Mapping[str, float | str] = field(default_factory=dict)


def compare_packages(before: PackageFiles, after: PackageFiles) -> PackageDifference:
    """Compare two verified packages."""
    old, new = _plain(before.manifest), _plain(after.manifest)
    return PackageDifference(
        before=before.identity.sha256,
        after=after.identity.sha256,
        manifest=tuple(_changes(_without(old), _without(new))),
        operating_points=tuple(_changes(old["operating_points"], new["operating_points"])),
        graphs=tuple(_changes(_graphs(before), _graphs(after))),
        files=tuple(_changes(dict(before.manifest.files), dict(after.manifest.files))),
        golden=_golden(before, after),
    )


def _plain(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json")


def _without(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in _TOLD_APART}


def _changes(before: Any, after: Any) -> Iterator[Change]:
    """Yield what differs, leaf by leaf, in the order of the keys."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for key in dict.fromkeys((*old, *new)):
        if old.get(key, ABSENT) != new.get(key, ABSENT):
            yield Change(key=key, before=old.get(key, ABSENT), after=new.get(key, ABSENT))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that is no mapping and no list of mappings."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for index, entry in enumerate(value):
            yield from _leaves(entry, f"{path}.{index}")
    else:
        yield path, value


def _graphs(files: PackageFiles) -> dict[str, Any]:
    """Return what a graph is, by its name: digest, operators and contract of its tensors."""
    manifest = files.manifest
    described = {}
    for name, graph in manifest.graphs.items():
        described[name] = {
            "sha256": manifest.files[graph.file],
            "bytes": len(files.contents[graph.file]),
            "operators": operators_of(files.contents[graph.file], where=graph.file),
            **graph.model_dump(mode="json", exclude={"file"}),
        }
    return described


def _golden(before: PackageFiles, after: PackageFiles) -> dict[str, float | str]:
    names = {entry.file for entry in before.manifest.golden} & {entry.file for entry in after.manifest.golden}
    changed = [name for name in sorted(names) if before.contents[name] != after.contents[name]]
    return {key: value for name in changed for key, value in _golden_file(before, after, name)}


def _golden_file(before: PackageFiles, after: PackageFiles, name: str) -> Iterator[tuple[str, float | str]]:
    old_inputs, old = golden_arrays(before.contents[name], where=name)
    new_inputs, new = golden_arrays(after.contents[name], where=name)
    if old_inputs.keys() != new_inputs.keys() or any(
        not np.array_equal(array, new_inputs[key]) for key, array in old_inputs.items()
    ):
        yield name, "other inputs"
        return
    for key in sorted(old.keys() & new.keys()):
        if old[key].shape != new[key].shape:
            yield f"{name}: {key}", f"shape {old[key].shape} became {new[key].shape}"
            continue
        apart = np.abs(old[key].astype(np.float64) - new[key].astype(np.float64))
        yield f"{name}: {key}", float(np.max(apart, initial=0.0))
