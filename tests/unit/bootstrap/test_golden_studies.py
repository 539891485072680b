# SPDX-License-Identifier: Apache-2.0
"""Golden studies run through the real pipelines, and notice what golden tensors cannot."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from service.bootstrap.golden_studies import run_study, verify_studies
from service.domain.errors import PackageError
from service.domain.result import Outcome
from service.inference.evidence import Budget, GoldenStudy
from service.inference.package import LoadedPackage, default_packages_folder, find_packages, load_package
from service.inference.package_files import PackageFiles, read_package
from service.pipelines.pneumoconiosis import pipeline as film_pipeline

FOLDERS = {folder.parent.name: folder for folder in find_packages(default_packages_folder())}
FILM = FOLDERS["pneumoconiosis-demo"]


@pytest.fixture(scope="module")
def files() -> PackageFiles:
    return read_package(FILM)


@pytest.fixture(scope="module")
def package() -> LoadedPackage:
    return load_package(FILM, provider="cpu")


def _with(files: PackageFiles, contents: Mapping[str, bytes], **manifest: Any) -> PackageFiles:
    changed = files.manifest.model_copy(update=manifest)
    return replace(files, contents={**files.contents, **contents}, manifest=changed)


def _one(files: PackageFiles) -> GoldenStudy:
    return files.manifest.golden_studies[0]


def _refusal(files: PackageFiles, package: LoadedPackage) -> str:
    with pytest.raises(PackageError) as caught:
        verify_studies(_with(files, {}, golden_studies=(_one(files),), refuses_noise=False), package)
    return str(caught.value)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_shipped_package_has_two_studies_and_declares_what_it_can(name: str) -> None:
    manifest = read_package(FOLDERS[name]).manifest
    assert len(manifest.golden_studies) >= 2
    assert manifest.budget is not None
    assert manifest.refuses_noise
    assert manifest.decompositions
    expected = [read_package(FOLDERS[name]).contents[study.expected] for study in manifest.golden_studies]
    outcomes = {json.loads(record)["result"]["outcome"] for record in expected}
    assert outcomes == {Outcome.FINDINGS, Outcome.NO_FINDINGS}


def test_a_changed_grey_scale_is_noticed(
    files: PackageFiles, package: LoadedPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure that golden tensors cannot see: the graph is right, what it is given is not."""
    correct: Callable[..., Any] = film_pipeline.as_chest_radiograph

    def too_bright(image: Any) -> Any:
        radiograph = correct(image)
        return replace(radiograph, pixels=np.asarray(radiograph.pixels) ** np.float32(0.7))

    monkeypatch.setattr(film_pipeline, "as_chest_radiograph", too_bright)
    assert "the study comes to something else here: result." in _refusal(files, package)


def test_a_changed_threshold_is_noticed(files: PackageFiles, package: LoadedPackage) -> None:
    class Stricter:
        def __getattr__(self, name: str) -> Any:
            if name == "operating_points":
                return {**package.operating_points, package.triage_operating_point: 0.99}
            return getattr(package, name)

    assert "result.triage" in _refusal(files, Stricter())  # type: ignore[arg-type]


def test_a_changed_image_is_noticed(files: PackageFiles, package: LoadedPackage) -> None:
    first, second = (study.images(list(files.contents)) for study in files.manifest.golden_studies[:2])
    swapped = _with(files, {first[0]: files.contents[second[0]]})
    assert "the study comes to something else here" in _refusal(swapped, package)


def test_a_budget_that_is_passed_is_a_refusal(files: PackageFiles, package: LoadedPackage) -> None:
    tight = Budget(seconds=0.01, memory_bytes=1 << 40)
    assert "s of CPU time, the package's budget is 0.01 s" in _refusal(_with(files, {}, budget=tight), package)


def test_memory_above_the_budget_is_a_refusal(files: PackageFiles, package: LoadedPackage) -> None:
    class Hungry:
        def __getattr__(self, name: str) -> Any:
            return getattr(package, name)

        def run(self, graph: str, inputs: Any) -> Any:
            assert np.ones(150_000_000, np.uint8).any()
            return package.run(graph, inputs)

    small = _with(files, {}, budget=Budget(seconds=3600, memory_bytes=100_000_000))
    assert "bytes of memory, the package's budget is 100000000" in _refusal(small, Hungry())  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"format": 1}', b"[" * 100_000])
def test_a_record_that_is_none_is_a_refusal(files: PackageFiles, package: LoadedPackage, record: bytes) -> None:
    assert "no record of a result" in _refusal(_with(files, {_one(files).expected: record}), package)


def test_a_record_of_another_format_is_a_refusal(files: PackageFiles, package: LoadedPackage) -> None:
    other = _with(files, {_one(files).expected: b'{"format": 2, "result": {}}'})
    assert "'format' 2 is not supported" in _refusal(other, package)


def test_a_study_that_could_be_a_patient_is_a_refusal(
    files: PackageFiles, package: LoadedPackage, tmp_path: Path
) -> None:
    name = _one(files).images(list(files.contents))[0]
    (tmp_path / "x.dcm").write_bytes(files.contents[name])
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    del dataset.QualityControlImage
    dataset.save_as(tmp_path / "y.dcm", enforce_file_format=True)
    changed = _with(files, {name: (tmp_path / "y.dcm").read_bytes()})
    assert "golden studies are phantoms, or images whose identity was removed" in _refusal(changed, package)


def test_a_damaged_study_is_a_refusal(files: PackageFiles, package: LoadedPackage) -> None:
    name = _one(files).images(list(files.contents))[0]
    assert "cannot be used" in _refusal(_with(files, {name: files.contents[name][:5000]}), package)


def test_acceptance_that_the_pipeline_does_not_find_is_a_refusal(files: PackageFiles, package: LoadedPackage) -> None:
    class Empty:
        acceptance: Mapping[str, Any] = {}

        def __getattr__(self, name: str) -> Any:
            return getattr(package, name)

    assert "lack what pipeline pneumoconiosis reads" in _refusal(files, Empty())  # type: ignore[arg-type]


def test_noise_is_refused_by_the_pipeline_itself(files: PackageFiles, package: LoadedPackage) -> None:
    assert run_study(files, _one(files), package, as_noise=True).outcome is Outcome.NOT_ANALYSED


def test_a_package_that_analyses_noise_is_a_refusal(
    files: PackageFiles, package: LoadedPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bootstrap.golden_studies.with_noise", lambda data, **_: data)
    only = _with(files, {}, golden_studies=(_one(files),), refuses_noise=True)
    with pytest.raises(PackageError, match="with noise in place of its pixels the study was analysed"):
        verify_studies(only, package)
