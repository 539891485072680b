# SPDX-License-Identifier: Apache-2.0
"""What a package says of usual studies reaches the node, and is part of what its digest covers."""

from pathlib import Path

from hostile_drift import CHANNEL, declare
from tiny_package import edit_manifest

from harness.drift_studies import reference
from models.drift.reference import manifest_section
from service.bootstrap.packages import PackageChoice, installed_packages
from service.inference.manifest import load_manifest


def test_a_package_without_a_reference_says_nothing(tiny_folder: Path) -> None:
    assert load_manifest(tiny_folder).drift_reference is None


def test_a_reference_reaches_whoever_counts_studies(tiny_folder: Path) -> None:
    def installed() -> tuple[str, object]:
        choice = PackageChoice(folder=tiny_folder, provider=("cpu",), threads=1)
        package = installed_packages({"film": choice}, lambda _event: None)["film"]
        return package.identity.sha256, package.drift

    before, nothing = installed()
    declare(tiny_folder, CHANNEL)
    after, found = installed()
    assert nothing is None
    assert found == load_manifest(tiny_folder).drift_reference
    assert found is not None
    assert before != after, "the digest covers it"


def test_what_the_workbench_writes_is_what_the_node_reads(tiny_folder: Path) -> None:
    made = reference(studies=150)
    edit_manifest(tiny_folder, lambda manifest: manifest.update(manifest_section(made)))
    assert load_manifest(tiny_folder).drift_reference == made
