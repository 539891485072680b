# SPDX-License-Identifier: Apache-2.0
"""The lock files are those of pyproject.toml, and nothing in them is known to be bad."""

import re
import shutil
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import VARIANTS
from deploy.audit.__main__ import FOLDER, audit
from deploy.audit.advisories import affecting, read_advisories
from deploy.audit.exceptions import problems, read_exceptions
from deploy.lock import Locked, lock_file, read_lock, wanted

ADVISORIES = read_advisories(FOLDER / "osv")
EXCEPTIONS = read_exceptions(FOLDER / "exceptions.yaml")
TODAY = EXCEPTIONS[0].decided
UNWANTED = {"torch", "monai", "python-gdcm", "onnx", "pytest", "matplotlib"}
"""What a node must not be installed with."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_requirement_is_locked_in_a_version_that_it_allows(variant: str) -> None:
    locked = read_lock(lock_file(variant))
    for requirement in wanted(variant):
        entry = locked.get(canonicalize_name(requirement.name))
        assert entry is not None, f"{requirement} is not in {variant}.txt; run 'make lock'"
        assert requirement.specifier.contains(entry.version), f"{requirement}, locked {entry.version}; run 'make lock'"


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_locked_ones_require_is_locked_too(variant: str) -> None:
    locked = read_lock(lock_file(variant))
    for entry in locked.values():
        missing = [name for name in _required(entry) if name not in locked]
        assert not missing, f"{entry.name} needs {missing}, which {variant}.txt has not; run 'make lock'"


def _required(entry: Locked) -> list[str]:
    """What an installed distribution of the locked version requires without extras, by canonical name."""
    try:
        found = distribution(entry.name)
    except PackageNotFoundError:
        return []
    if found.version != entry.version:
        return []
    requirements = [Requirement(text) for text in found.requires or ()]
    environment = {**default_environment(), "extra": ""}
    return [
        canonicalize_name(item.name) for item in requirements if not item.marker or item.marker.evaluate(environment)
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_runtime_is_without_what_it_must_not_have(variant: str) -> None:
    locked = read_lock(lock_file(variant))
    assert not UNWANTED & set(locked)
    assert len({name for name in locked if name.startswith("onnxruntime")}) == 1


@pytest.mark.parametrize("path", sorted(lock_file("cpu").parent.iterdir()), ids=lambda path: path.name)
def test_a_lock_names_no_index(path: Path) -> None:
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links", path.read_text())


def test_an_entry_without_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text("numpy==2.4.6\n")
    with pytest.raises(ValueError, match="make lock"):
        read_lock(path)


def test_nothing_that_is_locked_is_known_to_be_bad() -> None:
    """Without a network: pip-audit asks a server on loopback, which knows the advisories of deploy/audit/osv."""
    locks = [lock_file(name) for name in (*VARIANTS, "bootstrap", "build")]
    assert audit(locks, today=date.today()) == []  # noqa: DTZ011 - the day on which somebody looks


def test_a_known_bad_version_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text(re.sub(r"^pydicom==\S+", "pydicom==3.0.1", lock_file("cpu").read_text(), flags=re.MULTILINE))
    found = "\n".join(audit([bad], today=TODAY))
    assert "CVE-2026-32711" in found
    assert "3.0.2" in found


def test_without_its_exception_an_advisory_fails(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "osv", tmp_path / "osv")
    (tmp_path / "exceptions.yaml").write_text("exceptions: []\n")
    assert any("CVE-2026-56445" in line for line in audit([lock_file("cpu")], today=TODAY, folder=tmp_path))


def _problems(*, today: date = TODAY, **changes: Any) -> list[str]:
    (entry, *_) = EXCEPTIONS
    changed = entry.model_copy(update=changes)
    locked = list(read_lock(lock_file("cpu")).values())
    return list(problems([changed], advisories=ADVISORIES, locked=locked, today=today))


def test_an_exception_holds_until_the_end_of_its_last_day() -> None:
    last = EXCEPTIONS[0].expires
    assert not _problems(today=last)
    assert "expired" in _problems(today=last + timedelta(days=1))[0]


def test_an_exception_for_ever_or_for_nothing_is_refused() -> None:
    assert "a year at most" in _problems(expires=TODAY + timedelta(days=800))[0]
    assert "remove it" in _problems(advisory="CVE-2000-0001")[0]


def test_exceptions_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "exceptions.yaml"
    entry = yaml.safe_load((FOLDER / "exceptions.yaml").read_text())["exceptions"][0]
    for wrong in ({**entry, "until": "2030-01-01"}, {**entry, "reason": "fine"}, {**entry, "expires": "soon"}):
        path.write_text(yaml.safe_dump({"exceptions": [wrong]}))
        with pytest.raises(ValueError, match=r"until|reason|expires"):
            read_exceptions(path)


@pytest.mark.parametrize(
    ("version", "affected"),
    [("2.4.4", True), ("2.4.5", False), ("2.9", False), ("3.0.0", True), ("3.0.1", True), ("3.0.2", False)],
)
def test_ranges_of_an_advisory_are_read_as_osv_says(version: str, affected: bool) -> None:
    assert [entry["id"] for entry in affecting(ADVISORIES, "PyDicom", version)] == ["CVE-2026-32711"] * affected
