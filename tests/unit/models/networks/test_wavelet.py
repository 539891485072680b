# SPDX-License-Identifier: Apache-2.0
"""The wavelet front end equals PyWavelets, on even and odd sizes, in torch and in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")
pywt = pytest.importorskip("pywt")

from models.export import export_onnx  # noqa: E402
from models.networks.wavelet import BANDS, WAVELETS, WaveletFrontEnd  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript:DeprecationWarning")


def _noise(*shape: int) -> Any:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def _reference(image: Any, wavelet: str, mode: str) -> Any:
    approximation, details = pywt.dwt2(image.astype(np.float64), wavelet, mode=mode)
    return np.stack([approximation, *details])


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (40, 33), (255, 241)])
@pytest.mark.parametrize("mode", ["symmetric", "reflect"])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_equals_pywavelets(wavelet: str, mode: Any, size: tuple[int, int]) -> None:
    image = _noise(*size)
    bands = WaveletFrontEnd(wavelet, mode)(torch.from_numpy(image)[None, None]).numpy()[0]
    np.testing.assert_allclose(bands, _reference(image, wavelet, mode), atol=1e-5)


class _Front(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self, front_end: Any) -> None:
        super().__init__()
        self.front_end = front_end

    def forward(self, image: Any) -> Any:
        return self.front_end(image)


@pytest.mark.parametrize("mode", ["symmetric", "reflect"])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_equals_pywavelets_in_onnx_runtime_at_every_size(wavelet: str, mode: Any, tmp_path: Path) -> None:
    free = {"image": {2: "rows", 3: "columns"}, "bands": {2: "band_rows", 3: "band_columns"}}
    images = [_noise(*size) for size in ((32, 32), (33, 40), (40, 33), (255, 241))]
    export = export_onnx(
        _Front(WaveletFrontEnd(wavelet, mode)),
        tmp_path / "front_end.onnx",
        examples=[{"image": image[None, None]} for image in images],
        output_names=["bands"],
        free_axes=free,
    )
    session = onnxruntime.InferenceSession(str(export.path))
    for image in images:
        (bands,) = session.run(None, {"image": image[None, None]})
        np.testing.assert_allclose(bands[0], _reference(image, wavelet, mode), atol=1e-5)


@pytest.mark.parametrize("band", BANDS)
def test_each_band_alone_equals_pywavelets_in_onnx_runtime(band: Any, tmp_path: Path) -> None:
    image = _noise(33, 40)
    export = export_onnx(
        _Front(WaveletFrontEnd("sym4", bands=(band,))),
        tmp_path / "front_end.onnx",
        examples=[{"image": image[None, None]}],
        output_names=["bands"],
    )
    (bands,) = onnxruntime.InferenceSession(str(export.path)).run(None, {"image": image[None, None]})
    np.testing.assert_allclose(bands[0, 0], _reference(image, "sym4", "symmetric")[BANDS.index(band)], atol=1e-5)


def test_chosen_bands_keep_their_order_and_channels_stay_apart() -> None:
    image = _noise(3, 2, 20, 21)
    bands = WaveletFrontEnd("db2", bands=("cD", "cA"), channels=2)(torch.from_numpy(image)).numpy()
    for channel in range(2):
        expected = _reference(image[1, channel], "db2", "symmetric")
        np.testing.assert_allclose(bands[1, 2 * channel], expected[BANDS.index("cD")], atol=1e-5)
        np.testing.assert_allclose(bands[1, 2 * channel + 1], expected[BANDS.index("cA")], atol=1e-5)


def test_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="wavelet 'bior' is unknown; known are haar"):
        WaveletFrontEnd("bior")
    with pytest.raises(ValueError, match="mode 'zero' is unknown"):
        WaveletFrontEnd("haar", "zero")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bands cA, cX are not some of cA, cH, cV, cD"):
        WaveletFrontEnd("haar", bands=("cA", "cX"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"image \(6, 32\) is smaller than 7"):
        WaveletFrontEnd("db4")(torch.zeros(1, 1, 6, 32))


def test_bands_keep_their_precision_where_a_fit_computes_with_less() -> None:
    image = torch.from_numpy(0.5 + 0.01 * _noise(1, 1, 32, 32))
    front_end = WaveletFrontEnd()
    with torch.autocast("cpu", torch.bfloat16):
        bands = front_end(image)
    assert torch.equal(bands, front_end(image))
