# SPDX-License-Identifier: Apache-2.0
"""The audit passes a map that follows the score and fails one that does not; it runs on a committed package."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from harness.shipped import shipped  # noqa: E402
from models.audit.__main__ import main  # noqa: E402
from models.audit.checks import similarity  # noqa: E402
from models.audit.deletion import check_deletion, low_passed  # noqa: E402
from models.audit.localisation import check_energy, check_pointing  # noqa: E402
from models.audit.randomisation import check_randomisation, randomised, trained_layers  # noqa: E402
from models.audit.repeatability import check_repeatability  # noqa: E402
from models.audit.report import HEADING, with_section  # noqa: E402
from models.audit.samples import golden_samples, phantom_samples  # noqa: E402
from models.audit.subject import SUBJECTS, Explainer, Samples, Subject  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.networks.classifier import build_classifier  # noqa: E402
from service.inference.package import load_package  # noqa: E402
from service.inference.package_files import read_package  # noqa: E402

SIZE, CELL, COUNT = 48, 6, 16
SUBJECT = Subject(graph="blob", image="image", logits="logits", map="map", link="sigmoid", logit=0, masked=True)
PACKAGE = shipped("diffuse-lung-demo")


class _Blob(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Scores a bright blob; its map is the truth, or `twisted` by a factor of -1 or a constant that ignores it."""

    def __init__(self, twist: str = "") -> None:
        super().__init__()
        self.twist = twist

    def forward(self, image: Any) -> Any:
        cells = torch.nn.functional.avg_pool2d(image[:, :1] * image[:, 1:], CELL)
        maps = 40 * (cells - 0.2)
        logits = maps.clamp(min=0).mean(dim=(2, 3)) * 8 - 2
        if self.twist == "inverted":
            maps = -maps
        if self.twist == "outside":
            maps = torch.nn.functional.avg_pool2d(1 - image[:, 1:], CELL) + 0 * maps
        return logits, maps


def _samples() -> Samples:
    rng = np.random.default_rng(5)
    masks = np.zeros((COUNT, SIZE, SIZE), dtype=bool)
    masks[:, 6:42, 6:42] = True
    truth = np.zeros_like(masks)
    inputs = np.stack([rng.uniform(0.1, 0.2, masks.shape), masks], axis=1).astype(np.float32)
    for index in range(COUNT):
        row, column = (6 * int(cell) for cell in rng.integers(1, 6, size=2))
        truth[index, row : row + 6, column : column + 6] = True
        inputs[index, 0][truth[index]] = 0.9
    return Samples(inputs=inputs, masks=masks, truth=truth, origin="blobs")


def _explainer(folder: Path, twist: str = "") -> Explainer:
    examples = [{"image": _samples().inputs[:2]}]
    export = export_onnx(_Blob(twist), folder / "blob.onnx", examples=examples, output_names=["logits", "map"])
    return Explainer(export.path.read_bytes(), SUBJECT)


@pytest.mark.parametrize(("twist", "passed"), [("", True), ("inverted", False)])
def test_deletion_insertion_and_pointing_tell_a_map_from_its_negative(tmp_path: Path, twist: str, passed: bool) -> None:
    explain, samples = _explainer(tmp_path, twist), _samples()
    targets = explain.targets(samples.inputs)
    deletion, insertion = check_deletion(explain, samples, targets, sigma_px=8.0)
    pointing = check_pointing(explain(samples.inputs, targets).maps, samples)
    assert [deletion.passed, insertion.passed, pointing.passed] == [passed] * 3, (deletion, insertion, pointing)
    assert pointing.values["hits"] == (1.0 if passed else 0.0)
    assert pointing.values["chance"] == pytest.approx(1 / 36, abs=1e-3)


@pytest.mark.parametrize(("twist", "passed"), [("", True), ("outside", False)])
def test_energy_outside_the_anatomy_is_a_short_cut(tmp_path: Path, twist: str, passed: bool) -> None:
    explain, samples = _explainer(tmp_path, twist), _samples()
    found = explain(samples.inputs, explain.targets(samples.inputs))
    maps = found.maps * (1 if twist else (found.maps > 0))
    assert check_energy(maps, samples, masked=True).passed is passed
    assert check_energy(maps, samples, masked=False).passed is None


class _Ignorant(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """A network whose map is a picture of the input, whatever the weights are, as many saliency maps nearly are."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Any) -> Any:
        return self.network(image), torch.nn.functional.avg_pool2d(image, CELL)


class _Honest(_Ignorant):
    def forward(self, image: Any) -> Any:
        return self.network.head(self.network.features(image))


@pytest.mark.parametrize(("kind", "passed"), [(_Honest, True), (_Ignorant, False)])
def test_a_map_that_ignores_the_weights_fails_the_randomisation(tmp_path: Path, kind: Any, passed: bool) -> None:
    torch.manual_seed(3)
    images = np.random.default_rng(6).random((6, 1, SIZE, SIZE), dtype=np.float32)
    module = kind(build_classifier("vgg16-small", 3))
    export = export_onnx(
        module, tmp_path / "net.onnx", examples=[{"image": images}], output_names=["logits", "map"], tolerance=1e-4
    )
    model = export.path.read_bytes()
    subject = Subject(graph="net", image="image", logits="logits", map="map", link="softmax")
    check = check_randomisation(model, subject, images=images, targets=Explainer(model, subject).targets(images))
    assert check.passed is passed, check
    assert check.values["layers"] == len(trained_layers(model)) == 8
    stages = [count for count, _ in check.values["ssim_by_randomised_layers"]]
    assert stages == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_randomising_changes_the_named_weights_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    images = np.zeros((1, 1, SIZE, SIZE), dtype=np.float32)
    network = build_classifier("vgg16-small", 3)
    export = export_onnx(network, tmp_path / "net.onnx", examples=[{"image": images}], output_names=["logits"])
    model = export.path.read_bytes()
    names = trained_layers(model)
    before, after = (_weights(data) for data in (model, randomised(model, names[-2:], seed=1)))
    assert {name for name, value in before.items() if not np.array_equal(value, after[name])} == set(names[-2:])
    assert after[names[-2]].std() == pytest.approx(before[names[-2]].std(), rel=0.1)


def _weights(model: bytes) -> dict[str, Any]:
    graph = onnx.load_from_string(model).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_similarity_is_that_of_the_pattern_not_of_its_strength() -> None:
    maps = np.random.default_rng(7).random((5, 6, 6))
    np.testing.assert_allclose(similarity(maps, 3 * maps - 1), 1, atol=1e-6)
    assert similarity(maps, maps[::-1, ::-1].copy()).mean() < 0.5
    flat = np.zeros_like(maps)
    np.testing.assert_array_equal(similarity(flat, flat), 1)
    np.testing.assert_array_equal(similarity(maps, flat), 0)


def test_trainings_that_agree_repeat_and_one_alone_cannot(tmp_path: Path) -> None:
    samples = _samples()
    good, bad = _explainer(tmp_path), _explainer(tmp_path, "inverted")
    targets = good.targets(samples.inputs)
    assert check_repeatability({"a": good, "b": good}, samples, targets).passed is True
    assert check_repeatability({"a": good, "b": bad}, samples, targets).passed is False
    alone = check_repeatability({"a": good}, samples, targets)
    assert alone.passed is None
    assert "there is one training only" in alone.sentence


def test_too_few_findings_are_no_test_of_deletion(tmp_path: Path) -> None:
    explain, samples = _explainer(tmp_path), _samples()
    few = Samples(inputs=samples.inputs[:3], masks=samples.masks[:3], truth=None, origin="three blobs")
    checks = check_deletion(explain, few, explain.targets(few.inputs), sigma_px=8.0)
    assert [check.passed for check in checks] == [None, None]
    assert "only 3 of 3 samples score 0.5 or more, 6 are needed" in checks[0].sentence
    assert check_pointing(explain(few.inputs, np.zeros(3, dtype=np.int64)).maps, few).passed is None


def test_a_low_pass_that_leaves_the_finding_there_is_no_test_of_deletion(tmp_path: Path) -> None:
    explain, samples = _explainer(tmp_path), _samples()
    checks = check_deletion(explain, samples, explain.targets(samples.inputs), sigma_px=0.3)
    assert [check.passed for check in checks] == [None, None]
    assert "the low-pass picture alone scores" in checks[0].sentence


def test_the_low_pass_of_a_view_takes_its_mass_away() -> None:
    """One of 8 pixels, which serves zones and patches, leaves masses there, and a map seems to be worth nothing."""
    subject = SUBJECTS["mammography"]
    package = read_package(shipped("mammography-demo"))
    explain = Explainer(package.contents[package.manifest.graphs[subject.graph].file], subject, batch=1)
    samples = phantom_samples("mammography", subject, count=2)
    targets = explain.targets(samples.inputs)
    scores = [
        explain(low_passed(samples.inputs, samples.masks, sigma_px=width), targets).scores
        for width in (8.0, subject.low_pass_px)
    ]
    assert scores[0].min() > 0.5
    assert scores[1].max() < 0.5


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    _explainer(tmp_path)
    with pytest.raises(ValueError, match="graph blob has no tensor heat; it has image, logits, map"):
        Explainer((tmp_path / "blob.onnx").read_bytes(), replace(SUBJECT, map="heat"))


def test_an_audit_replaces_the_section_of_an_earlier_one() -> None:
    card = with_section("# Card\n\ntext\n", f"{HEADING}\n\nold\n")
    assert card == f"# Card\n\ntext\n\n{HEADING}\n\nold\n"
    longer = card + "\n## Known failures\n\nmany\n"
    renewed = with_section(longer, f"{HEADING}\n\nnew\n")
    assert renewed == f"# Card\n\ntext\n\n{HEADING}\n\nnew\n\n## Known failures\n\nmany\n"


def test_runs_on_a_committed_package_and_writes_into_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "diffuse-lung-demo" / PACKAGE.name
    shutil.copytree(PACKAGE, folder)
    status = main([str(folder), "--samples", "12", "--out", str(tmp_path / "audit.json"), "--write"])
    found = json.loads((tmp_path / "audit.json").read_text())
    checks = {check["name"]: check for check in found["checks"]}
    assert status == (1 if found["failed"] else 0)
    assert list(checks) == [
        "weight randomisation", "deletion", "insertion", "repeatability", "pointing game", "energy inside the anatomy",
    ]  # fmt: skip
    assert checks["weight randomisation"]["passed"] is True
    assert checks["repeatability"]["passed"] is None
    assert HEADING in capsys.readouterr().out
    assert HEADING in (folder / "MODEL_CARD.md").read_text()
    assert json.loads((folder / "explanation_audit.json").read_text()) == found
    assert load_package(folder, provider="cpu").identity.sha256 != load_package(PACKAGE, provider="cpu").identity.sha256


def test_what_cannot_be_audited_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing" / "0.1.0")]) == 2
    assert "not audited: " in capsys.readouterr().err


def test_golden_inputs_serve_any_package() -> None:
    samples = golden_samples(read_package(PACKAGE), SUBJECTS["diffuse_lung"])
    assert samples.inputs.shape == (12, 1, 48, 48)
    assert samples.masks.all()
    assert samples.truth is None


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["pneumoconiosis-demo", "mammography-demo"])
def test_runs_on_the_packages_with_places(name: str, tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    main([str(shipped(name)), "--samples", "8", "--out", str(out)])
    checks = {check["name"]: check for check in json.loads(out.read_text())["checks"]}
    assert checks["pointing game"]["passed"] is not None
    assert checks["energy inside the anatomy"]["passed"] is True
