# SPDX-License-Identifier: Apache-2.0
"""The way back through a VGG, written out, equals autograd at every layer, in torch and in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.explanation.vgg_layer import OUTPUT_NAMES, VggLayerExplained  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.networks.classifier import Classifier, build_classifier  # noqa: E402
from models.networks.vgg import VGG16, DenseHead, vgg_body  # noqa: E402
from models.networks.wavelet import WaveletFrontEnd  # noqa: E402

CLASSES = 3
TIGHT, SINGLE = 1e-6, 1e-5


def _narrow_vgg16(*, dense_head: bool) -> Any:
    """All thirteen convolutions of VGG16, an eighth as wide: every kind of layer of the full network."""
    torch.manual_seed(9)
    if not dense_head:
        network = build_classifier("vgg16-small", CLASSES)
        network.train()(torch.rand(6, 1, 48, 48))
    else:
        widths = (8, 16, 32, 64, 64)
        head = DenseHead(64, CLASSES, grid=(2, 2), hidden=32)
        network = Classifier(vgg_body(1, VGG16, widths=widths), head, family="vgg")
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def _autograd(network: Any, convolution: int, images: Any) -> tuple[Any, Any]:
    """Return (Grad-CAM, HiResCAM) after the ReLU of a convolution, by autograd through the unfolded network."""
    ends = [0, *(index + 1 for index, layer in enumerate(network.body) if isinstance(layer, torch.nn.ReLU))]
    first, rest = network.body[: ends[convolution]], network.body[ends[convolution] :]
    activation = first(network.front_end(images)).detach().requires_grad_(True)
    output = network.head(rest(activation))
    logits = output[0] if isinstance(output, tuple) else output
    gradients = [torch.autograd.grad(logits[:, k].sum(), activation, retain_graph=True)[0] for k in range(CLASSES)]
    gradient = torch.stack(gradients, dim=1)
    weighted = gradient.mean(dim=(3, 4), keepdim=True) * activation[:, None]
    return weighted.sum(dim=2).relu().detach(), (gradient * activation[:, None]).sum(dim=2).detach()


def _worst(found: Any, expected: Any) -> float:
    found = torch.as_tensor(found)
    assert found.shape == expected.shape
    scale = float(expected.abs().max())
    assert scale > 0, "a map of zeros proves nothing"
    return float((found.double() - expected.double()).abs().max()) / scale


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, TIGHT), (torch.float32, SINGLE)])
@pytest.mark.parametrize("convolution", range(14))
def test_vgg16_with_dense_head_equals_autograd_at_every_convolution(
    convolution: int, dtype: Any, tolerance: float
) -> None:
    network, images = _narrow_vgg16(dense_head=True).to(dtype), torch.rand(2, 1, 64, 64, dtype=dtype)
    gradcam, hirescam = _autograd(network, convolution, images)
    with torch.no_grad():
        logits, found_gradcam, found_hirescam = VggLayerExplained(network, convolution)(images)
    torch.testing.assert_close(logits, network(images).detach())
    assert _worst(found_hirescam, hirescam) < tolerance
    assert float(gradcam.max()) == 0 == float(found_gradcam.max()) or _worst(found_gradcam, gradcam) < tolerance


@pytest.mark.parametrize("size", [(48, 48), (50, 61)])
@pytest.mark.parametrize("convolution", range(8))
def test_batch_normalised_vgg_with_average_head_equals_autograd(convolution: int, size: tuple[int, int]) -> None:
    network, images = _narrow_vgg16(dense_head=False).double(), torch.rand(2, 1, *size, dtype=torch.float64)
    _, hirescam = _autograd(network, convolution, images)
    with torch.no_grad():
        _, _, found = VggLayerExplained(network, convolution)(images)
    assert _worst(found, hirescam) < TIGHT


@pytest.mark.parametrize("convolution", [0, 1])
def test_equal_maxima_are_counted_once(convolution: int) -> None:
    """A flat image makes every window of a pooling equal inside: the gradient goes to the first place alone."""
    network, images = _narrow_vgg16(dense_head=True).double(), torch.full((1, 1, 64, 64), 0.5, dtype=torch.float64)
    _, hirescam = _autograd(network, convolution, images)
    with torch.no_grad():
        _, _, found = VggLayerExplained(network, convolution)(images)
    assert _worst(found, hirescam) < TIGHT


def _front_end_network() -> Any:
    torch.manual_seed(9)
    front_end = WaveletFrontEnd("db2")
    return build_classifier("vgg16-small", CLASSES, channels=4, front_end=front_end).eval()


def test_front_end_stays_outside_the_way_back() -> None:
    network, images = _front_end_network(), torch.rand(1, 1, 64, 64)
    _, hirescam = _autograd(network, 0, images)
    with torch.no_grad():
        _, _, found = VggLayerExplained(network, 0)(images)
    assert _worst(found, hirescam) < SINGLE


@pytest.mark.parametrize(
    ("dense_head", "convolution", "size"),
    [(True, 0, (64, 64)), (True, 4, (64, 64)), (True, 13, (64, 64)), (False, 1, (50, 61)), (False, 5, (48, 48))],
)
def test_is_the_same_in_onnx_runtime(dense_head: bool, convolution: int, size: tuple[int, int], tmp_path: Path) -> None:
    network = _narrow_vgg16(dense_head=dense_head)
    rng = np.random.default_rng(2)
    flat = np.full((1, 1, *size), 0.5, dtype=np.float32)
    examples = [{"image": flat}, {"image": rng.random((3, 1, *size), dtype=np.float32)}]
    export = export_onnx(
        VggLayerExplained(network, convolution),
        tmp_path / "layer.onnx",
        examples=examples,
        output_names=OUTPUT_NAMES,
        tolerance=SINGLE,
    )
    for inputs, outputs in export.golden:
        _, hirescam = _autograd(network, convolution, torch.from_numpy(inputs["image"]))
        assert _worst(outputs["hirescam"], hirescam) < SINGLE
    operators = {node.op_type for node in onnx.load(export.path).graph.node}
    assert {"ConvTranspose", "MaxUnpool"} <= operators or convolution == 13


def test_chosen_classes_cost_no_other() -> None:
    network, images = _narrow_vgg16(dense_head=True), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        every = VggLayerExplained(network, 3)(images)
        some = VggLayerExplained(network, 3, classes=(2,))(images)
    for one, other in zip(some, every, strict=True):
        torch.testing.assert_close(one, other[:, 2:])


def test_refuses_what_it_cannot_explain() -> None:
    with pytest.raises(TypeError, match="only a VGG can be explained at any layer; this is a resnet"):
        VggLayerExplained(build_classifier("resnet50-small", 2), 1)
    with pytest.raises(ValueError, match="convolution 14 does not exist; there are 1 to 13, 0 is the input"):
        VggLayerExplained(_narrow_vgg16(dense_head=True), 14)
