# SPDX-License-Identifier: Apache-2.0
"""The committed packages on OpenVINO, in an environment that has the extra `openvino` in place of `cpu`.

python -m venv /tmp/openvino && /tmp/openvino/bin/pip install -e '.[openvino,test]'
/tmp/openvino/bin/python -m pytest tests/unit/inference/test_openvino.py
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tiny_package import IMAGE

from service.domain.errors import ProviderError
from service.inference import providers
from service.inference.package import default_packages_folder, find_packages, load_package
from service.settings import Provider

pytestmark = pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="OPENVINO MISSING: needs the extra 'openvino' in place of 'cpu'",
)
PACKAGES = find_packages(default_packages_folder())


def test_a_package_runs_on_openvino(tiny_folder: Path) -> None:
    package = load_package(tiny_folder, provider="openvino")
    np.testing.assert_allclose(package.run("zones", {"image": IMAGE})["scaled"], IMAGE * 2, rtol=1e-6)
    assert package.warm.sessions["zones"].device == "openvino"


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.parent.name)
def test_every_package_reproduces_its_golden_outputs_in_float32(folder: Path) -> None:
    warm = load_package(folder, provider="openvino", threads=2).warm
    assert warm.provider == "openvino"
    assert max(warm.golden_differences.values()) < 0.01


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.parent.name)
def test_bf16_is_used_only_where_it_reproduces_the_golden_outputs(folder: Path) -> None:
    order: tuple[Provider, ...] = ("openvino_bf16", "openvino", "cpu")
    warm = load_package(folder, provider=order, threads=2).warm
    assert warm.provider in {"openvino_bf16", "openvino"}
    assert {item.reason for item in warm.passed_over} <= {
        "parity",
        "refused",
    }  # no processor without bf16 says it has it


def test_the_precision_hint_is_read(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that OpenVINO does not know must not be passed over in silence, or the hint might be."""
    wrong = {"device_type": "CPU", "load_config": json.dumps({"CPU": {"NO_SUCH_HINT": "f32"}})}
    monkeypatch.setitem(providers._OPTIONS, "openvino", lambda _threads, _memory: wrong)  # type: ignore[index]
    with pytest.raises(ProviderError, match="NO_SUCH_HINT"):
        load_package(tiny_folder, provider="openvino")
