# SPDX-License-Identifier: Apache-2.0
"""The audit compares whole packages: two trainings of one network that differ in their seed alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.audit.__main__ import main  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.packaging import GraphSource, write_package  # noqa: E402

SIZE, CELL, COUNT, STEPS = 24, 4, 24, 60
ABOUT: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny demonstration",
    "pipeline": "diffuse_lung",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Tests of the audit.",
    "trained_on": "bright squares",
    "licence": "Apache-2.0",
    "contact": "https://example.org/dokuei",
    "classes": [{"name": "clear"}, {"name": "bright"}],
    "operating_points": {"balanced": {"threshold": 0.5, "measured_on": "nothing"}},
    "triage_operating_point": "balanced",
    "parameters": {},
    "acceptance": {},
    "training": {
        "recipe": "tests",
        "seed": 1,
        "data": "bright squares",
        "metrics": [{"name": "AUC", "condition": "scanner-shift", "value": 0.5, "cases": COUNT}],
    },
}


class _Tiny(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Two layers and a map for each class, whose mean is the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.head = torch.nn.Conv2d(8, 2, 1)

    def forward(self, patches: Any) -> Any:
        cells = torch.nn.functional.avg_pool2d(torch.relu(self.features(patches)), CELL)
        cam = self.head(cells)
        return cam.mean(dim=(2, 3)), cam


def squares() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return patches (N, 1, 24, 24) in [0, 1], and whether each has bright squares: several, each of one cell."""
    rng = np.random.default_rng(5)
    images = rng.uniform(0.1, 0.2, (COUNT, 1, SIZE, SIZE)).astype(np.float32)
    labels = np.arange(COUNT) % 2
    for image, label in zip(images, labels, strict=True):
        for row, column in rng.integers(0, SIZE // CELL, (6 * label, 2)) * CELL:
            image[0, row : row + CELL, column : column + CELL] = 0.9
    return images, labels


def packaged(folder: Path, *, seed: int, steps: int = STEPS) -> Path:
    """Train with a seed, and write the package `<folder>/tiny/0.<seed>.0`."""
    torch.manual_seed(seed)
    network, (images, labels) = _Tiny(), squares()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        logits, _cam = network(torch.from_numpy(images))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()
    folder.mkdir(parents=True, exist_ok=True)
    examples = [{"patches": images}]
    export = export_onnx(network.eval(), folder / "tiny.onnx", examples=examples, output_names=["logits", "cam"])
    tensors = {"patches": {"channels": ["grey"], "value_range": [0, 1]}}
    return write_package(
        folder / "packages",
        {**ABOUT, "version": f"0.{seed}.0"},
        graphs={"patterns": GraphSource(path=export.path, golden=export.golden, tensors=tensors)},
        licence_text="Apache-2.0\n",
        model_card="# Tiny\n",
    )


def repeatability(folder: Path, *others: Path) -> dict[str, Any]:
    """Audit a package against others, and return what it says of repeatability."""
    out = folder.parent / "audit.json"
    against = [word for other in others for word in ("--against", str(other))]
    main([str(folder), "--golden", "--out", str(out), *against])
    (check,) = [check for check in json.loads(out.read_text())["checks"] if check["name"] == "repeatability"]
    pairs = {name: value for name, value in check.items() if " / " in name}
    return {**check, "pairs": pairs}


def test_two_seeds_that_learned_the_same_repeat_and_one_that_learned_nothing_does_not(tmp_path: Path) -> None:
    first, second = packaged(tmp_path, seed=1), packaged(tmp_path, seed=2)
    alike = repeatability(first, second)
    assert alike["passed"] is True
    assert "of 2 trainings" in alike["sentence"]
    (pair,) = alike["pairs"]
    assert pair.startswith("this package / tiny 0.2.0 (")
    untrained = packaged(tmp_path, seed=3, steps=0)
    other = repeatability(first, untrained)
    assert other["passed"] is False, other
    assert len(repeatability(first, second, untrained)["pairs"]) == 3


def test_a_package_is_no_second_training_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = packaged(tmp_path, seed=1, steps=1)
    assert main([str(folder), "--golden", "--against", str(folder)]) == 2
    assert "tiny 0.1.0" in (said := capsys.readouterr().err)
    assert "is the graph that is audited" in said
