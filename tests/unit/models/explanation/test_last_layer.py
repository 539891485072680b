# SPDX-License-Identifier: Apache-2.0
"""Maps at the last layer equal autograd's, add up to the logit, and are the same in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.explanation.head_gradient import head_gradient  # noqa: E402
from models.explanation.last_layer import (  # noqa: E402
    AVERAGE_OUTPUTS,
    DENSE_OUTPUTS,
    AverageExplained,
    DenseExplained,
)
from models.export import export_onnx  # noqa: E402
from models.networks.classifier import build_classifier  # noqa: E402

CLASSES = 4
TIGHT, SINGLE = 1e-6, 1e-5
"""Largest difference relative to the largest value of a map: in float64 and in float32."""


def _network(name: str, **options: Any) -> Any:
    torch.manual_seed(8)
    network = build_classifier(name, CLASSES, **options)
    network.train()(torch.rand(6, 1, 48, 48))
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def autograd_maps(network: Any, images: Any) -> tuple[Any, Any, Any]:
    """Return (Grad-CAM, HiResCAM, gradient) of every class, by autograd, at the features that the head reads."""
    features = network.features(images).detach().requires_grad_(True)
    output = network.head(features)
    logits = output[0] if isinstance(output, tuple) else output
    gradients = [torch.autograd.grad(logits[:, k].sum(), features, retain_graph=True)[0] for k in range(CLASSES)]
    gradient = torch.stack(gradients, dim=1)
    weighted = gradient.mean(dim=(3, 4), keepdim=True) * features[:, None]
    return weighted.sum(dim=2).relu().detach(), (gradient * features[:, None]).sum(dim=2).detach(), gradient


def _worst(found: Any, expected: Any) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    scale = float(expected.abs().max())
    assert scale > 0, "a map of zeros proves nothing"
    return float((found - expected).abs().max()) / scale


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, TIGHT), (torch.float32, SINGLE)])
@pytest.mark.parametrize("name", ["vgg16-small", "resnet50-small", "densenet121-small"])
def test_average_head_equals_autograd_and_adds_up(name: str, dtype: Any, tolerance: float) -> None:
    network, images = _network(name).to(dtype), torch.rand(2, 1, 48, 48, dtype=dtype)
    gradcam, hirescam, gradient = autograd_maps(network, images)
    with torch.no_grad():
        _, logits, cam, found, _ = AverageExplained(network)(images)
        _, written, offset = head_gradient(network.head, network.features(images))
    assert _worst(found, gradcam) < tolerance
    assert _worst(cam / (cam.shape[2] * cam.shape[3]), hirescam) < tolerance
    assert _worst(written, gradient) < tolerance
    assert _worst(cam.mean(dim=(2, 3)) + offset, logits) < tolerance


@pytest.mark.parametrize("cell", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, TIGHT), (torch.float32, SINGLE)])
def test_dense_head_equals_autograd_and_adds_up(cell: int, dtype: Any, tolerance: float) -> None:
    network = _network("vgg16-small", dense_head=True, grid=(6 // cell, 6 // cell), cell=(cell, cell)).to(dtype)
    images = torch.rand(2, 1, 48, 48, dtype=dtype)
    gradcam, hirescam, gradient = autograd_maps(network, images)
    with torch.no_grad():
        _, logits, found_gradcam, found_hirescam, offset = DenseExplained(network)(images)
        _, written, _ = head_gradient(network.head, network.features(images))
    assert float(gradcam.max()) > 0
    assert _worst(found_gradcam, gradcam) < tolerance
    assert _worst(found_hirescam, hirescam) < tolerance
    assert _worst(written, gradient) < tolerance
    assert _worst(found_hirescam.sum(dim=(2, 3)) + offset, logits) < tolerance


def test_chosen_classes_are_the_rows_of_all() -> None:
    for options in ({}, {"dense_head": True, "grid": (6, 6)}):
        network = _network("vgg16-small", **options)
        features = network.features(torch.rand(2, 1, 48, 48))
        for every, some in zip(head_gradient(network.head, features), _some(network, features), strict=True):
            torch.testing.assert_close(some, every[:, [3, 1]])


def _some(network: Any, features: Any) -> Any:
    return head_gradient(network.head, features, classes=(3, 1))


def _examples() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    return [{"image": rng.random((count, 1, 48, 48), dtype=np.float32)} for count in (1, 3)]


@pytest.mark.parametrize("name", ["vgg16-small", "resnet50-small", "densenet121-small"])
def test_average_head_is_the_same_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    graph = AverageExplained(_network(name))
    export = export_onnx(graph, tmp_path / "graph.onnx", examples=_examples(), output_names=AVERAGE_OUTPUTS)
    assert export.largest_difference < SINGLE


@pytest.mark.parametrize("cell", [1, 2])
def test_dense_head_is_the_same_in_onnx_runtime(cell: int, tmp_path: Path) -> None:
    network = _network("vgg16-small", dense_head=True, grid=(6 // cell, 6 // cell), cell=(cell, cell))
    export = export_onnx(
        DenseExplained(network), tmp_path / "graph.onnx", examples=_examples(), output_names=DENSE_OUTPUTS
    )
    assert export.largest_difference < SINGLE
    gradcam, hirescam, _ = autograd_maps(network, torch.from_numpy(_examples()[1]["image"]))
    assert _worst(torch.from_numpy(export.golden[1][1]["gradcam"]), gradcam) < SINGLE
    assert _worst(torch.from_numpy(export.golden[1][1]["hirescam"]), hirescam) < SINGLE


@pytest.mark.full_size
def test_full_vgg16_explains_itself_in_onnx_runtime(tmp_path: Path) -> None:
    torch.manual_seed(8)
    network = build_classifier("vgg16", CLASSES, channels=3, dense_head=True).eval()
    image = np.random.default_rng(2).random((1, 3, 224, 224), dtype=np.float32)
    export = export_onnx(
        DenseExplained(network), tmp_path / "vgg16.onnx", examples=[{"image": image}], output_names=DENSE_OUTPUTS
    )
    assert export.path.stat().st_size > 500e6
    gradcam, hirescam, _ = autograd_maps(network, torch.from_numpy(image))
    assert _worst(torch.from_numpy(export.golden[0][1]["gradcam"]), gradcam) < SINGLE
    assert _worst(torch.from_numpy(export.golden[0][1]["hirescam"]), hirescam) < SINGLE


def test_explains_only_the_head_that_it_knows() -> None:
    with pytest.raises(TypeError, match="explain it with DenseExplained"):
        AverageExplained(build_classifier("vgg16-small", 2, dense_head=True, grid=(6, 6)))
    with pytest.raises(TypeError, match="explain it with AverageExplained"):
        DenseExplained(build_classifier("vgg16-small", 2))
