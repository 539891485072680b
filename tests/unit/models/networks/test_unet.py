# SPDX-License-Identifier: Apache-2.0
"""The U-Net segments planes and volumes, trains, and its graph is one that the node loads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.export import export_onnx  # noqa: E402
from models.networks.unet import UNet  # noqa: E402

WIDTHS = (4, 4, 8, 8, 8)


def _noise(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_exports_with_parity_at_other_sizes_too(dimensions: Any, exclusive: bool, tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = UNet(dimensions, 3, channels=2, widths=WIDTHS, exclusive=exclusive)
    shapes = [(1, 2, *(32,) * dimensions), (2, 2, *(16, 48, 32)[:dimensions])]
    names = {2 + axis: f"size_{axis}" for axis in range(dimensions)}
    export = export_onnx(
        network,
        tmp_path / "unet.onnx",
        examples=[{"image": _noise(*shape)} for shape in shapes],
        output_names=("probability",),
        free_axes={"image": names, "probability": names},
        tolerance=1e-5,
    )
    for shape, (_, outputs) in zip(shapes, export.golden, strict=True):
        assert outputs["probability"].shape == (shape[0], 3, *shape[2:])
    if exclusive:
        np.testing.assert_allclose(outputs["probability"].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_learns_a_threshold(dimensions: Any) -> None:
    torch.manual_seed(4)
    network = UNet(dimensions, 1, widths=WIDTHS)
    image = torch.from_numpy(_noise(2, 1, *(16,) * dimensions))
    truth = (image > 0.3).float()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network.logits(image), truth)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_refuses_sizes_that_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match=r"image of \(32, 40\) must be padded to multiples of 16"):
        UNet(2, 1, widths=WIDTHS)(torch.zeros(1, 1, 32, 40))
    with pytest.raises(ValueError, match=r"widths \(4, 8\) are 2 numbers; a U-Net has five resolutions"):
        UNet(2, 1, widths=(4, 8))
