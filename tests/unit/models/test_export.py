# SPDX-License-Identifier: Apache-2.0
"""Exported graphs equal torch, at any batch size, and the file's bytes repeat."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.export import export_onnx  # noqa: E402
from models.networks.cam import CamHead  # noqa: E402
from models.networks.wavelet import WAVELETS, WaveletFrontEnd  # noqa: E402


class _Tiny(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self, wavelet: str = "haar", mode: Any = "symmetric") -> None:
        super().__init__()
        self.front_end = WaveletFrontEnd(wavelet, mode)
        self.head = CamHead(4, 3)

    def forward(self, image: Any) -> Any:
        return self.head(torch.relu(self.front_end(image)))


def _images(batch: int, rows: int = 33, columns: int = 40) -> dict[str, Any]:
    return {"image": np.random.default_rng(1).normal(size=(batch, 1, rows, columns)).astype(np.float32)}


def _export(module: Any, path: Path, **options: Any) -> Any:
    return export_onnx(module, path, examples=[_images(1), _images(3)], output_names=["logits", "maps"], **options)


@pytest.mark.parametrize("mode", ["symmetric", "reflect"])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_wavelet_and_cam_export_with_parity(tmp_path: Path, wavelet: str, mode: str) -> None:
    export = _export(_Tiny(wavelet, mode), tmp_path / "graph.onnx")
    assert export.largest_difference <= 1e-5
    assert [len(outputs["logits"]) for _, outputs in export.golden] == [1, 3]


def test_free_axes_take_other_sizes_than_the_example(tmp_path: Path) -> None:
    module = _Tiny("db4")
    export = _export(module, tmp_path / "graph.onnx", free_axes={"image": {2: "rows", 3: "columns"}})
    inputs = _images(2, 50, 61)
    logits = onnxruntime.InferenceSession(str(export.path)).run(["logits"], inputs)[0]
    np.testing.assert_allclose(logits, module(torch.from_numpy(inputs["image"]))[0].detach(), atol=1e-5)


def test_bytes_repeat(tmp_path: Path) -> None:
    module = _Tiny()
    files = [_export(module, tmp_path / name).path.read_bytes() for name in ("a.onnx", "b.onnx")]
    assert files[0] == files[1]


def test_difference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"graph.onnx differs from torch by .*; at most -1 is allowed"):
        _export(_Tiny(), tmp_path / "graph.onnx", tolerance=-1)
