# SPDX-License-Identifier: Apache-2.0
"""Every family has the published size, trains in every layer and exports with its explanation."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.networks.cam import CamHead  # noqa: E402
from models.networks.classifier import DESIGNS, build_classifier  # noqa: E402
from models.networks.wavelet import WaveletFrontEnd  # noqa: E402

SMALL = [name for name in DESIGNS if name.endswith("-small")]


@pytest.mark.parametrize(
    ("name", "dense_head", "published"),
    [
        ("vgg16", True, 138_357_544),
        ("vgg19", True, 143_667_240),
        ("resnet50", False, 25_557_032),
        ("densenet121", False, 7_978_856),
    ],
)
def test_full_size_has_the_published_number_of_parameters(name: str, dense_head: bool, published: int) -> None:
    with torch.device("meta"):
        network = build_classifier(name, 1000, channels=3, dense_head=dense_head)
    assert sum(parameter.numel() for parameter in network.parameters()) == published
    assert all(parameter.requires_grad for parameter in network.parameters())


def _one_step(network: Any, size: int) -> Any:
    torch.manual_seed(2)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    logits = network.train()(torch.rand(4, 1, size, size))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    optimiser.step()
    return [name for name, value in network.named_parameters() if torch.equal(before[name], value)]


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_of_a_small_member_trains(name: str) -> None:
    torch.manual_seed(1)
    network = build_classifier(name, 4)
    network.head.classify.weight.data.normal_()
    assert _one_step(network, 48) == []


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "densenet121"])
def test_every_layer_of_the_full_size_trains(name: str) -> None:
    torch.manual_seed(1)
    assert _one_step(build_classifier(name, 4), 32) == []


@pytest.mark.parametrize("name", DESIGNS)
def test_features_are_those_that_the_design_says(name: str) -> None:
    torch.manual_seed(1)
    network = build_classifier(name, 3).eval()
    size, stride = (48, 8) if name in SMALL else (64, 32)
    with torch.no_grad():
        features = network.features(torch.rand(1, 1, size, size))
    assert features.shape == (1, DESIGNS[name].features, size // stride, size // stride)
    assert features.min() >= 0


def test_front_end_and_dense_head_fit_together() -> None:
    front_end = WaveletFrontEnd("haar")
    network = build_classifier("vgg16-small", 3, channels=4, dense_head=True, grid=(3, 4), front_end=front_end)
    assert network(torch.rand(2, 1, 48, 64)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"features of \(3, 3\) do not fit a dense head for \(3, 4\)"):
        network(torch.rand(2, 1, 48, 48))


def test_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="network 'alexnet' is unknown; known are vgg16, vgg19, resnet50"):
        build_classifier("alexnet", 2)
    with pytest.raises(ValueError, match="network 'resnet50-small' has no dense head"):
        build_classifier("resnet50-small", 2, dense_head=True)


def test_average_head_is_the_default() -> None:
    assert isinstance(build_classifier("vgg19-small", 2).head, CamHead)
