# SPDX-License-Identifier: Apache-2.0
"""Deep SHAP adds up for every family, and equals gradient times difference where a network is linear."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")
pytest.importorskip("captum")

from models.explanation.deep_shap import deep_shap  # noqa: E402
from models.networks.classifier import DESIGNS, build_classifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")


def _network(name: str, **options: Any) -> Any:
    torch.manual_seed(10)
    network = build_classifier(name, 3, **options)
    network.train()(torch.rand(6, 1, 48, 48))
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().double()


@pytest.mark.parametrize("name", [name for name in DESIGNS if name.endswith("-small")])
def test_attributions_add_up(name: str) -> None:
    network = _network(name)
    images, baselines = torch.rand(2, 1, 48, 48).double(), torch.rand(3, 1, 48, 48).double()
    found = deep_shap(network, images, baselines, target=1)
    difference = (network(images)[:, 1] - network(baselines)[:, 1].mean()).detach()
    assert found.attributions.shape == images.shape
    assert float(found.residual.max()) < 1e-6 * max(1.0, float(difference.abs().max()))
    torch.testing.assert_close(found.attributions.sum(dim=(1, 2, 3)), difference, atol=1e-6, rtol=1e-6)


def test_dense_head_adds_up_too() -> None:
    network = _network("vgg16-small", dense_head=True, grid=(6, 6))
    images, baselines = torch.rand(2, 1, 48, 48).double(), torch.rand(3, 1, 48, 48).double()
    assert float(deep_shap(network, images, baselines, target=0).residual.max()) < 1e-6


def test_the_network_itself_is_left_alone() -> None:
    network = _network("resnet50-small")
    before = list(network.state_dict())
    deep_shap(network, torch.rand(1, 1, 48, 48).double(), torch.rand(2, 1, 48, 48).double(), target=0)
    assert list(network.state_dict()) == before


def test_one_baseline_is_no_expectation() -> None:
    with pytest.raises(ValueError, match="1 baseline: give at least 2"):
        deep_shap(_network("vgg16-small"), torch.rand(1, 1, 48, 48), torch.rand(1, 1, 48, 48), target=0)
