# SPDX-License-Identifier: Apache-2.0
"""Class activation maps add up to the logits that they explain."""

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.networks.cam import CamHead  # noqa: E402


def test_maps_add_up_to_the_logits() -> None:
    torch.manual_seed(3)
    head = CamHead(16, 5)
    torch.nn.init.normal_(head.bias)
    logits, maps = head(torch.randn(4, 16, 7, 9))
    assert maps.shape == (4, 5, 7, 9)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + head.bias, logits, atol=1e-5, rtol=0)


def test_equals_pooling_then_a_linear_layer() -> None:
    torch.manual_seed(4)
    head = CamHead(16, 5)
    torch.nn.init.normal_(head.bias)
    features = torch.randn(4, 16, 7, 9)
    pooled = torch.nn.functional.linear(features.mean(dim=(2, 3)), head.classify.weight[:, :, 0, 0], head.bias)
    torch.testing.assert_close(head(features)[0], pooled, atol=1e-5, rtol=0)
