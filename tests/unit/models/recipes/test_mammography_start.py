# SPDX-License-Identifier: Apache-2.0
"""First weights from an exported detector: the same answers, and statistics that training can go on from."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models import train  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.networks.mass_detector import MassDetector, MassDetectorGraph  # noqa: E402
from models.recipes import mammography  # noqa: E402
from models.recipes.mammography_start import (  # noqa: E402
    StartError,
    folded_weights,
    main,
    read_start,
    start_from,
)
from models.training.recipe_file import read_document  # noqa: E402

RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "mammography.yaml"
OUTPUTS = ("heat", "offset", "size", "marks", "image_logit", "raw_cam", "feature")


def views() -> torch.Tensor:
    image = torch.rand((3, 2, 64, 64), generator=torch.Generator().manual_seed(1))
    image[:, 1] = 1
    return image


def exported(folder: Path, *detectors: MassDetector) -> Path:
    """Write a package's graph as far as the command reads it, and return the package's folder."""
    path = folder / "graphs" / "detector.onnx"
    examples = [{"image": views()[:1].numpy()}]
    export_onnx(MassDetectorGraph(*detectors, marks=5), path, examples=examples, output_names=OUTPUTS, tolerance=1e-3)
    return folder


def trained(seed: int = 1) -> MassDetector:
    torch.manual_seed(seed)
    detector = MassDetector(3).train()
    for _ in range(3):
        detector(torch.rand(4, 2, 64, 64))  # statistics that are not those of the start
    return detector.eval()


@torch.no_grad()
def test_a_detector_goes_on_from_an_exported_one(tmp_path):
    detector = trained()
    file = tmp_path / "start.npz"
    assert main([str(exported(tmp_path, detector)), str(file)]) == 0
    torch.manual_seed(2)
    other = MassDetector(3, classes=2)
    start_from(other, read_start(file), [views()])
    for before, after in zip(detector.marks(detector.encode(views())), other.marks(other.encode(views())), strict=True):
        torch.testing.assert_close(after[:, : before.shape[1]], before, rtol=1e-4, atol=1e-4)
    scored = detector.image_score(detector.encode(views()))[0]
    torch.testing.assert_close(other.image_score(other.encode(views()))[0], scored, rtol=1e-4, atol=1e-4)
    still = other(views())[0]
    torch.testing.assert_close(other.train()(views())[0], still, rtol=1e-2, atol=1e-2)


def test_weights_of_another_width_are_refused():
    detector = trained()
    weights = {f"{name}.weight": np.zeros((1, 1, 1, 1), np.float32) for name, _ in detector.named_modules()}
    with pytest.raises(StartError, match=r"stem\.0\.0\.weight has the shape"):
        start_from(detector, weights, [views()])
    with pytest.raises(StartError, match=r"no weights for stem\.0\.0\.weight"):
        start_from(detector, {}, [views()])


def test_a_package_of_several_members_is_no_start(tmp_path, capsys):
    package = exported(tmp_path, trained(1), trained(2))
    assert folded_weights((package / "graphs" / "detector.onnx").read_bytes()) == {}
    assert main([str(package), str(tmp_path / "none.npz")]) == 2
    assert "no detector of one member" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no archive", b"PK\x03\x04 cut off"], ids=["absent", "text", "damaged"])
def test_weights_that_cannot_be_read_are_named_with_what_writes_them(tmp_path, content):
    file = tmp_path / "start.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError, match=r"start\.npz cannot be read .*mammography_start PACKAGE OUT\.npz"):
        read_start(file)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({"start": "not_there.npz"}, "cannot be read"),
        ({"start": "mammography_start.npz", "width": 8}, "the same width"),
    ],
)
def test_a_recipe_whose_start_is_of_no_use_ends_with_a_sentence(tmp_path, monkeypatch, capsys, network, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mammography, "draw_samples", lambda *_, **__: [])
    document = read_document(RECIPE) | {"network": network}
    Path("recipe.yaml").write_text(json.dumps(document))
    assert train.main(["recipe.yaml", "--out", "packages"]) == 1
    assert told in capsys.readouterr().err
    assert not Path("packages").exists()
