# SPDX-License-Identifier: Apache-2.0
"""The committed packages on OpenVINO, in an environment that has the extra `openvino` in place of `cpu`.

python -m venv /tmp/openvino && /tmp/openvino/bin/pip install -e '.[openvino,test]'
/tmp/openvino/bin/python -m pytest tests/unit/inference/test_openvino.py
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tiny_package import IMAGE, edit_manifest

from service.domain.errors import PackageError, ProviderError
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


@pytest.mark.skipif(not providers._has_bf16(), reason="this processor does not compute in bf16")
def test_bf16_runs_a_package_that_allows_for_it_and_is_another_arithmetic(tmp_path: Path) -> None:
    (folder,) = (path for path in PACKAGES if path.parent.name == "diffuse-lung-demo")
    allowing = tmp_path / folder.parent.name / folder.name
    shutil.copytree(folder, allowing)

    def allow(manifest: dict[str, Any]) -> None:
        for entry in (*manifest["golden"], *manifest["golden_studies"]):
            entry["tolerance_bf16"] = 0.05

    edit_manifest(allowing, allow)
    with pytest.raises(PackageError, match="differ from the golden ones"):
        load_package(folder, provider="openvino_bf16", threads=2)
    warm = load_package(allowing, provider="openvino_bf16", threads=2).warm
    assert 1e-3 < warm.golden_differences["lungs"] < 0.05


def test_the_precision_hint_is_read(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that OpenVINO does not know must not be passed over in silence, or the hint might be."""
    wrong = {"device_type": "CPU", "load_config": json.dumps({"CPU": {"NO_SUCH_HINT": "f32"}})}
    monkeypatch.setitem(providers._OPTIONS, "openvino", lambda _threads, _memory: wrong)  # type: ignore[index]
    with pytest.raises(ProviderError, match="NO_SUCH_HINT"):
        load_package(tiny_folder, provider="openvino")
