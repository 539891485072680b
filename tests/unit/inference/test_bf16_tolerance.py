# SPDX-License-Identifier: Apache-2.0
"""What a package allows where a provider computes in bf16. The arithmetic itself: test_openvino.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_package
from tiny_package import IMAGE, edit_manifest, replace_file

from service.domain.errors import PackageError
from service.inference import providers
from service.inference.evidence import GoldenStudy
from service.inference.package import load_package
from service.inference.providers import CPU, Backend

GOLDEN = "golden/zones-00.npz"
OFF = 0.01
"""Share of the largest golden number by which this machine is made to differ; bf16 keeps three digits."""


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose golden outputs this machine misses by `OFF`, and a provider that says it computes in bf16."""
    flags = tmp_path / "cpuinfo"
    flags.write_text("flags : fpu avx512_bf16\n")
    monkeypatch.setattr(providers, "CPU_INFO", flags)
    monkeypatch.setitem(providers.BACKENDS, "openvino_bf16", Backend(name=CPU, extra="openvino", precision="bf16"))  # type: ignore[index]
    monkeypatch.setitem(providers._OPTIONS, "openvino_bf16", lambda _threads, _memory: {})  # type: ignore[index]
    path = tmp_path / "off.npz"
    outputs = IMAGE * 2
    outputs.flat[outputs.argmax()] *= 1 - OFF
    np.savez(path, **{"inputs/image": IMAGE, "outputs/scaled": outputs})
    replace_file(tiny_folder, GOLDEN, path.read_bytes())
    return tiny_folder


def allow(folder: Path, share: float) -> None:
    edit_manifest(folder, lambda manifest: manifest["golden"][0].update(tolerance_bf16=share))


def test_bf16_is_passed_over_where_the_package_says_nothing_of_it(folder: Path) -> None:
    with pytest.raises(
        PackageError, match=r"differ from the golden ones by 0\.0\d+ \(scaled\); at most 0\.0001"
    ) as told:
        load_package(folder, provider="openvino_bf16")
    assert "name 'openvino' or 'cpu' in inference.provider" in str(told.value)


def test_bf16_is_used_within_what_the_package_allows_there(folder: Path) -> None:
    allow(folder, 1.5 * OFF)
    package = load_package(folder, provider=("openvino_bf16", "cpu"))
    assert (package.warm.provider, package.warm.passed_over) == ("openvino_bf16", ())
    package.self_test()


def test_the_share_is_of_the_largest_number(folder: Path) -> None:
    allow(folder, 0.5 * OFF)
    with pytest.raises(PackageError, match=r"differ from the golden ones by 0\.0\d+ \(scaled\); at most 0\.00"):
        load_package(folder, provider="openvino_bf16")


def test_float32_is_held_to_its_own_tolerance(folder: Path) -> None:
    allow(folder, 0.1)
    with pytest.raises(PackageError, match=r"at most 0\.0001 is allowed"):
        load_package(folder, provider="cpu")


def test_bf16_is_allowed_for_all_golden_entries_or_for_none(tmp_path: Path) -> None:
    folder = tiny_package.write_tiny(tmp_path / "packages")

    def twice(manifest: dict[str, Any]) -> None:
        first = manifest["golden"][0]
        manifest["golden"] = [{**first, "tolerance_bf16": 0.02}, first]

    edit_manifest(folder, twice)
    with pytest.raises(PackageError, match="tolerance_bf16 is given for some of golden and golden_studies"):
        load_package(folder, provider="cpu")


def test_a_study_is_held_to_the_tolerance_of_the_precision() -> None:
    silent = GoldenStudy(name="clear", tolerance=0.02)
    allowed = GoldenStudy(name="clear", tolerance=0.02, tolerance_bf16=0.05)
    assert [study.allowed("bf16") for study in (silent, allowed)] == [0.02, 0.05]
    assert [study.allowed("float32") for study in (silent, allowed)] == [0.02, 0.02]
