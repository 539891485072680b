# SPDX-License-Identifier: Apache-2.0
"""Every rule of manifest.yaml refuses, and says key, value, rule and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_package import edit_manifest

from service.domain.errors import PackageError
from service.domain.result import PackageStatus
from service.inference.manifest import ClinicalUse, load_manifest

Change = Callable[[dict[str, Any]], object]


def _refusal(folder: Path) -> str:
    with pytest.raises(PackageError) as caught:
        load_manifest(folder)
    assert str(folder / "manifest.yaml") in str(caught.value)
    assert not caught.value.retryable
    return str(caught.value)


def test_reads_a_whole_manifest(tiny_folder: Path) -> None:
    manifest = load_manifest(tiny_folder)
    assert (manifest.name, manifest.version) == ("tiny", "0.1.0")
    assert manifest.status is PackageStatus.DEMONSTRATION
    assert manifest.clinical_use is ClinicalUse.PROHIBITED
    image = manifest.graphs["zones"].inputs["image"]
    assert (image.dtype, image.shape, image.channels) == ("float32", ("batch", 1, 4, 6), ("grey",))
    assert image.value_range == (0, 1)
    assert manifest.parameters == {"spacing_mm": 0.5}
    assert manifest.acceptance == {"view_positions": ["PA"]}


def _tensor(manifest: dict[str, Any]) -> dict[str, Any]:
    tensor: dict[str, Any] = manifest["graphs"]["zones"]["inputs"]["image"]
    return tensor


@pytest.mark.parametrize("size", [-1, None, "batch"])
def test_any_size_may_be_written_in_three_ways(tiny_folder: Path, size: Any) -> None:
    edit_manifest(tiny_folder, lambda m: _tensor(m).update(shape=[size, 1, 4, 6]))
    shape = load_manifest(tiny_folder).graphs["zones"].inputs["image"].shape
    assert shape[0] == (None if size == -1 else size)


CHANGES: dict[str, tuple[Change, str]] = {
    "unknown key": (lambda m: m.update(colour="red"), "key colour value 'red': Extra inputs are not permitted"),
    "missing key": (lambda m: m.pop("intended_use"), "key intended_use: Field required"),
    "schema version": (lambda m: m.update(schema_version=2), "key schema_version value 2: Input should be 1"),
    "status": (lambda m: m.update(status="great"), "key status value 'great': Input should be 'demonstration'"),
    "version": (lambda m: m.update(version="1.0"), "key version value '1.0'"),
    "version read as a number": (lambda m: m.update(version=1.0), "key version value 1.0"),
    "number as text": (
        lambda m: m["operating_points"]["balanced"].update(threshold="0.5"),
        "key operating_points.balanced.threshold value '0.5': Input should be a valid number",
    ),
    "demonstration in the clinic": (
        lambda m: m.update(clinical_use="research-only"),
        "status demonstration requires clinical_use prohibited",
    ),
    "permitted before approval": (
        lambda m: m.update(clinical_use="permitted", status="site-validated"),
        "clinical_use permitted requires status approved",
    ),
    "unknown operating point": (
        lambda m: m.update(triage_operating_point="best"),
        "triage_operating_point best is not among balanced",
    ),
    "unknown code": (
        lambda m: m["classes"][0]["code"].update(value="1"),
        "code (1, SCT) is not in service/codes.csv",
    ),
    "no golden tensors": (lambda m: m.update(golden=[]), "each graph needs golden tensors: zones"),
    "golden tensors of nothing": (lambda m: m["golden"][0].update(graph="other"), "golden other is not among"),
    "golden file unlisted": (
        lambda m: m["files"].pop("golden/zones-00.npz"),
        "files must list each golden file: golden/zones-00.npz is not among",
    ),
    "golden file elsewhere": (
        lambda m: m["golden"][0].update(file="graphs/zones.onnx"),
        "golden tensors are named golden/<name>.npz",
    ),
    "loose tolerance": (lambda m: m["golden"][0].update(tolerance=1.0), "key golden.0.tolerance value 1.0"),
    "graph unlisted": (lambda m: m["files"].pop("graphs/zones.onnx"), "files must list each graph"),
    "no licence": (lambda m: m["files"].pop("LICENSE"), "files must list LICENSE"),
    "no model card": (lambda m: m["files"].pop("MODEL_CARD.md"), "files must list MODEL_CARD.md"),
    "digest": (lambda m: m["files"].update(LICENSE="abc"), "key files.LICENSE value 'abc'"),
    "path upwards": (
        lambda m: m["graphs"]["zones"].update(file="../secret.onnx"),
        "key graphs.zones.file value '../secret.onnx': a file is named relative to the package folder",
    ),
    "absolute path": (lambda m: m["files"].update({"/etc/passwd": "0" * 64}), "without . or .."),
    "odd path": (lambda m: m["files"].update({"a b": "0" * 64}), "only letters, digits"),
    "manifest lists itself": (
        lambda m: m["files"].update({"manifest.yaml": "0" * 64}),
        "files lists every file but manifest.yaml itself",
    ),
    "zero size": (lambda m: _tensor(m).update(shape=[0, 1, 4, 6]), "a dimension is a size of at least 1"),
    "channels": (lambda m: _tensor(m).update(channels=["r", "g", "b"]), "names 3 channels, but axis 1"),
    "value range": (lambda m: _tensor(m).update(value_range=[1, 0]), "value_range is [lowest, highest]"),
    "infinite threshold": (
        lambda m: m["operating_points"]["balanced"].update(threshold=float("inf")),
        "not plain YAML",
    ),
    "in-domain metric first": (
        lambda m: m["training"]["metrics"][0].update(condition="in-domain"),
        "the first of metrics has condition scanner-shift",
    ),
    "raw images without a conversion": (
        lambda m: m["acceptance"].update(presentation_intents=["FOR PRESENTATION", "FOR PROCESSING"]),
        "parameters.for_processing must be one of log-equalised-1",
    ),
    "raw images with a conversion that nobody has": (
        lambda m: (
            m["acceptance"].update(presentation_intents=["FOR PROCESSING"]),
            m["parameters"].update(for_processing="log-equalised-2"),
        ),
        "parameters.for_processing must be one of log-equalised-1",
    ),
    "a conversion for nothing": (
        lambda m: m["parameters"].update(for_processing="log-equalised-1"),
        "parameters.for_processing needs FOR PROCESSING among acceptance.presentation_intents",
    ),
    "date": (lambda m: m["parameters"].update(made=__import__("datetime").date(2026, 1, 1)), "not plain YAML"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refuses(tiny_folder: Path, name: str) -> None:
    change, words = CHANGES[name]
    edit_manifest(tiny_folder, change)
    assert words in _refusal(tiny_folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", "aliases (*name) are not allowed"),
        ("a: 1\na: 2\n", "key 'a' is given twice"),
        ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        ("[" * 100_000, "not plain YAML"),
        ("a: [", "not plain YAML"),
        ("- 1\n", "the manifest: Input should be an object"),
        ("a: \x00", "not plain YAML"),
    ],
)
def test_refuses_yaml_that_is_not_plain_data(tiny_folder: Path, text: str, words: str) -> None:
    (tiny_folder / "manifest.yaml").write_text(text)
    assert words in _refusal(tiny_folder)


def test_refuses_a_huge_manifest(tiny_folder: Path) -> None:
    (tiny_folder / "manifest.yaml").write_bytes(b"#" * (1 << 21))
    assert "at most 1048576 are allowed" in _refusal(tiny_folder)


def test_refuses_a_missing_manifest(tiny_folder: Path) -> None:
    (tiny_folder / "manifest.yaml").unlink()
    assert "No such file" in _refusal(tiny_folder)


def test_refuses_another_folder(tiny_folder: Path) -> None:
    moved = tiny_folder.rename(tiny_folder.parent / "0.2.0")
    assert "tiny/0.1.0 differ from the folder's tiny/0.2.0" in _refusal(moved)


def test_reports_at_most_five_problems(tiny_folder: Path) -> None:
    edit_manifest(tiny_folder, lambda m: m.update({f"key{index}": 1 for index in range(7)}))
    assert "; and 2 more; correct the manifest" in _refusal(tiny_folder)
