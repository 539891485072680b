# SPDX-License-Identifier: Apache-2.0
"""A package is loaded only whole, unaltered, within its contract and with its golden results reproduced."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_package import IMAGE, edit_manifest, finish_model, replace_file, replace_model, scale_model, write_tiny

from service.domain.errors import ConfigurationError, PackageError
from service.domain.event import Event, InferenceFinished
from service.domain.result import PackageStatus
from service.inference.listing import check_package, list_packages
from service.inference.package import default_packages_folder, find_packages, load_package
from service.ports import Package

GRAPH = "graphs/zones.onnx"
GOLDEN = "golden/zones-00.npz"


def _refusal(folder: Path) -> str:
    with pytest.raises(PackageError) as caught:
        load_package(folder)
    return str(caught.value)


# --- what loads -----------------------------------------------------------------------------------------------------


def test_a_whole_package_runs(tiny_folder: Path) -> None:
    package: Package = load_package(tiny_folder)
    np.testing.assert_array_equal(package.run("zones", {"image": IMAGE})["scaled"], IMAGE * 2)
    assert package.identity.name == "tiny"
    assert package.identity.status is PackageStatus.DEMONSTRATION
    assert package.operating_points == {"balanced": 0.5}
    assert package.triage_operating_point == "balanced"
    assert package.parameters["spacing_mm"] == 0.5
    assert package.acceptance["view_positions"] == ["PA"]


def test_any_batch_size_runs(tiny_folder: Path) -> None:
    outputs = load_package(tiny_folder).run("zones", {"image": np.zeros((7, 1, 4, 6), np.float32)})
    assert outputs["scaled"].shape == (7, 1, 4, 6)


def test_the_digest_repeats_and_covers_the_manifest(tmp_path: Path) -> None:
    digests = [load_package(write_tiny(tmp_path / name)).identity.sha256 for name in ("a", "b")]
    assert digests[0] == digests[1]
    points = {"balanced": {"threshold": 0.6, "measured_on": "nothing"}}
    altered = write_tiny(tmp_path / "c", operating_points=points)
    assert load_package(altered).identity.sha256 != digests[0]


def test_the_digest_is_what_sha256sum_gives(tiny_folder: Path) -> None:
    import hashlib

    files = sorted(path for path in tiny_folder.rglob("*") if path.is_file())
    lines = sorted(
        (path.relative_to(tiny_folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
    )
    text = "".join(f"{digest}  {name}\n" for name, digest in lines)
    assert load_package(tiny_folder).identity.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_each_run_is_reported(tiny_folder: Path) -> None:
    seen: list[Event] = []
    load_package(tiny_folder, observer=seen.append).run("zones", {"image": IMAGE})
    (event,) = seen
    assert isinstance(event, InferenceFinished)
    assert (event.package, event.version, event.graph, event.device) == ("tiny", "0.1.0", "zones", "cpu")


def test_parameters_cannot_be_changed(tiny_folder: Path) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        load_package(tiny_folder).parameters["spacing_mm"] = 1  # type: ignore[index]


# --- graphs; what hostile packages do is in test_hostile_packages ---------------------------------------------------


def test_refuses_an_empty_model(tiny_folder: Path) -> None:
    replace_file(tiny_folder, GRAPH, b"")
    assert "not an ONNX file (no graph)" in _refusal(tiny_folder)


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "my.ops"])
def test_refuses_other_operator_domains(tiny_folder: Path, domain: str) -> None:
    node = helper.make_node("Gelu", ["image"], ["scaled"], domain=domain)
    replace_model(tiny_folder, finish_model([node], domains=(domain,)))
    assert f"operator domain {domain!r}; only ai.onnx is allowed" in _refusal(tiny_folder)


def _external() -> Any:
    tensor = TensorProto(name="factor", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../LICENSE")
    return tensor


def _in_initializer() -> Any:
    node = helper.make_node("Mul", ["image", "factor"], ["scaled"])
    return finish_model([node], initializers=[_external()])


def _in_constant() -> Any:
    constant = helper.make_node("Constant", [], ["factor"], value=_external())
    return finish_model([constant, helper.make_node("Mul", ["image", "factor"], ["scaled"])])


def _in_branch() -> Any:
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    node = helper.make_node("Mul", ["image", "factor"], ["result"])
    branch = helper.make_graph([node], "branch", [], [result], initializer=[_external()])
    condition = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    choice = helper.make_node("If", ["yes"], ["scaled"], then_branch=branch, else_branch=branch)
    return finish_model([choice], initializers=[condition])


def _in_sparse_initializer() -> Any:
    model = scale_model()
    sparse = model.graph.sparse_initializer.add(dims=[1])
    sparse.values.CopyFrom(_external())
    sparse.indices.CopyFrom(helper.make_tensor("indices", TensorProto.INT64, [1], [0]))
    return model


@pytest.mark.parametrize("make", [_in_initializer, _in_constant, _in_branch, _in_sparse_initializer])
def test_refuses_external_data_at_any_depth(tiny_folder: Path, make: Any) -> None:
    replace_model(tiny_folder, make())
    assert "keeps tensors in other files" in _refusal(tiny_folder)


def test_a_secret_file_is_never_read(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack of which ONNX Runtime alone is a victim: a model from memory, its data in the current folder."""
    tensor = _external()
    tensor.external_data[0].value = "secret"
    model = finish_model([helper.make_node("Mul", ["image", "factor"], ["scaled"])], initializers=[tensor])
    (tiny_folder.parent / "secret").write_bytes(np.float32(42).tobytes())
    monkeypatch.chdir(tiny_folder.parent)
    replace_model(tiny_folder, model)
    assert "keeps tensors in other files" in _refusal(tiny_folder)


def _tensor(manifest: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    tensor: dict[str, Any] = manifest["graphs"]["zones"][kind][name]
    return tensor


def test_refuses_a_fixed_size_where_the_graph_is_free(tiny_folder: Path) -> None:
    edit_manifest(tiny_folder, lambda m: _tensor(m, "outputs", "scaled").update(shape=[1, 1, 4, 6]))
    assert "outputs: scaled is" in _refusal(tiny_folder)


def test_refuses_another_dtype_than_the_manifest_says(tiny_folder: Path) -> None:
    edit_manifest(tiny_folder, lambda m: _tensor(m, "inputs", "image").update(dtype="float64"))
    assert "the manifest says ('float64'" in _refusal(tiny_folder)


def test_refuses_another_name_than_the_manifest_says(tiny_folder: Path) -> None:
    def rename(manifest: dict[str, Any]) -> None:
        outputs = manifest["graphs"]["zones"]["outputs"]
        outputs["probability"] = outputs.pop("scaled")

    edit_manifest(tiny_folder, rename)
    assert "outputs are scaled, the manifest says probability" in _refusal(tiny_folder)


# --- golden tensors -------------------------------------------------------------------------------------------------


def _npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{name.replace("__", "/"): array for name, array in arrays.items()})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a zip", "not golden tensors"),
        (_npz(inputs__image=IMAGE), "holds outputs , the graph has scaled"),
        (_npz(outputs__scaled=IMAGE), "has tensors , its contract image"),
        (_npz(inputs__image=IMAGE, outputs__scaled=IMAGE[:1]), "output scaled has shape (1, 1, 4, 6)"),
        (_npz(inputs__image=IMAGE.astype(np.float64), outputs__scaled=IMAGE), "dtype float64"),
    ],
)
def test_refuses_golden_tensors_that_do_not_fit(tiny_folder: Path, data: bytes, words: str) -> None:
    replace_file(tiny_folder, GOLDEN, data)
    assert words in _refusal(tiny_folder)


# --- running --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "inputs", "words"),
    [
        ("nodules", {"image": IMAGE}, "has no graph 'nodules'; it has zones"),
        ("zones", {"picture": IMAGE}, "has tensors picture, its contract image"),
        ("zones", {"image": IMAGE.astype(np.float64)}, "has dtype float64, its contract float32"),
        ("zones", {"image": IMAGE[0]}, r"has shape \(1, 4, 6\), its contract"),
        ("zones", {"image": IMAGE[:, :, :3]}, r"has shape \(2, 1, 3, 6\), its contract"),
        ("zones", {"image": IMAGE * np.float32("nan")}, "holds NaN or infinity"),
    ],
)
def test_refuses_what_is_outside_the_contract(
    tiny_folder: Path, graph: str, inputs: dict[str, Any], words: str
) -> None:
    with pytest.raises(PackageError, match=words):
        load_package(tiny_folder).run(graph, inputs)


def test_a_provider_that_is_not_here_is_a_matter_of_configuration(tiny_folder: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the CUDA provider")
    with pytest.raises(ConfigurationError, match=r"inference.provider names 'cuda'"):
        load_package(tiny_folder, provider="cuda")


# --- listing --------------------------------------------------------------------------------------------------------


def test_packages_are_found_in_the_order_of_their_versions(tmp_path: Path) -> None:
    for name in ("tiny/0.10.0", "tiny/0.9.0", "big/1.0.0", ".writing-x/tiny", "tiny/.cache"):
        (tmp_path / name).mkdir(parents=True)
    found = [path.relative_to(tmp_path).as_posix() for path in find_packages(tmp_path)]
    assert found == ["big/1.0.0", "tiny/0.9.0", "tiny/0.10.0"]


def test_no_folder_holds_no_packages(tmp_path: Path) -> None:
    assert find_packages(tmp_path / "absent") == ()


def test_a_bad_package_is_listed_with_its_problem(tmp_path: Path) -> None:
    write_tiny(tmp_path / "packages")
    (write_tiny(tmp_path / "packages", version="0.2.0") / "extra").touch()
    good, bad = list_packages(tmp_path / "packages")
    assert good.identity is not None
    assert (good.pipeline, good.problem) == ("pneumoconiosis", "")
    assert bad.identity is None
    assert "holds extra" in bad.problem


def test_a_check_says_how_close_the_golden_results_are(tiny_folder: Path) -> None:
    check = check_package(tiny_folder)
    assert check.devices == {"zones": "cpu"}
    assert check.golden_differences == {"zones": 0.0}
    assert check.files == 4


def test_a_check_refuses_what_loading_refuses(tiny_folder: Path) -> None:
    replace_model(tiny_folder, scale_model(3))
    with pytest.raises(PackageError, match="golden"):
        check_package(tiny_folder)


def test_the_checkout_has_a_default_folder() -> None:
    assert default_packages_folder().parts[-2:] in {("models", "packages"), ("service", "_packages")}


# --- writing --------------------------------------------------------------------------------------------------------


def test_writing_again_replaces_and_repeats_every_byte(tmp_path: Path) -> None:
    def read() -> dict[str, bytes]:
        folder = write_tiny(tmp_path / "packages")
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert read() == read()
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["tiny"]


def test_a_package_that_would_not_load_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="requires clinical_use prohibited"):
        write_tiny(tmp_path / "packages", clinical_use="permitted")
    assert list((tmp_path / "packages").iterdir()) == []


def test_what_onnx_holds_is_what_the_checks_read(tiny_folder: Path) -> None:
    """Guard of the tests themselves: the package's own graph is a valid ONNX model."""
    onnx.checker.check_model(onnx.load(tiny_folder / GRAPH))


def test_onnx_runtime_calls_nobody() -> None:
    """Its telemetry is off before it is loaded, whatever the environment said (strace shows the look-ups otherwise)."""
    program = "import os, service.inference.session; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ORT_DISABLE_TELEMETRY": "0"}
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout == "1\n"
