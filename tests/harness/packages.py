# SPDX-License-Identifier: Apache-2.0
"""Copies of a committed model package under other versions, good ones and bad ones."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from service.inference.package import default_packages_folder
from service.settings import Settings

PIPELINE = "pneumoconiosis"
NAME = Settings().pipelines[PIPELINE].package
VERSION = Settings().pipelines[PIPELINE].version


def copy_package(
    packages_folder: Path, version: str, *, threshold: float | None = None, status: str | None = None
) -> Path:
    """Copy the radiograph package under another version, with another triage threshold or status if one is given."""
    folder = packages_folder / NAME / version
    shutil.copytree(default_packages_folder() / NAME / VERSION, folder)

    def change(manifest: dict[str, Any]) -> None:
        manifest["version"] = version
        if threshold is not None:
            manifest["operating_points"][manifest["triage_operating_point"]]["threshold"] = threshold

        if status is not None:
            manifest["status"], manifest["clinical_use"] = status, "research-only"

    change_manifest(folder, change)
    return folder


def spoil_golden(folder: Path) -> None:
    """Give a package a golden result that no machine reproduces, listed with its right checksum."""
    golden = next((folder / "golden").glob("*.npz"))
    with np.load(golden, allow_pickle=False) as arrays:
        wrong = {name: arrays[name] + 1 if name.startswith("output") else arrays[name] for name in arrays.files}
    np.savez(golden, **wrong)
    digest, name = hashlib.sha256(golden.read_bytes()).hexdigest(), f"golden/{golden.name}"
    change_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as a person with an editor does; what else the package holds stays listed as it was."""
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(yaml.safe_dump(manifest, allow_unicode=True), encoding="utf-8")
