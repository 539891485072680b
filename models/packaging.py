# SPDX-License-Identifier: Apache-2.0
"""Writes model packages: the same input gives the same bytes, so that a package's digest can be reproduced."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray

from service.bootstrap.package_making import record_studies
from service.inference.evidence import EXPECTED
from service.inference.manifest import MANIFEST_NAME
from service.inference.package import load_package

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSource:
    """One graph to be packaged.

    `golden` holds (inputs, outputs) by tensor name, as `models.export.export_onnx` returns them. `tensors` adds, by
    tensor name, what ONNX cannot say: `channels`, `value_range`, `description`. Names, dtypes and shapes come from
    the ONNX file itself.
    """

    path: Path
    golden: Sequence[tuple[Arrays, Arrays]]
    tolerance: float = 1e-4
    tensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySource:
    """A golden study: a folder of DICOM files, and the largest difference of a number as a share of it."""

    folder: Path
    tolerance: float = 0.02


def write_package(
    packages_folder: Path,
    about: Mapping[str, Any],
    *,
    graphs: Mapping[str, GraphSource],
    licence_text: str,
    model_card: str,
    studies: Mapping[str, StudySource] | None = None,
) -> Path:
    """Write `<packages_folder>/<name>/<version>/`, replacing an earlier one, and return that folder.

    Parameters
    ----------
    about
        Every manifest key but `schema_version`, `graphs`, `golden`, `golden_studies` and `files`; JSON types.
    studies
        Golden studies by name; what the pipeline makes of them here becomes the expected record.

    Raises
    ------
    PackageError
        The result would not be accepted by the node, and why.
    """
    folder = packages_folder / str(about["name"]) / str(about["version"])
    packages_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages_folder, prefix=".writing-") as scratch:
        draft = Path(scratch) / folder.parent.name / folder.name
        _write_files(draft, graphs, licence_text=licence_text, model_card=model_card)
        golden_studies = _copy_studies(draft, studies or {})
        _write_manifest(draft, {**about, **golden_studies}, graphs=graphs)
        if studies:
            record_studies(draft)
        load_package(draft, provider="cpu")
        _replace(folder, draft)
    return folder


def _write_files(draft: Path, graphs: Mapping[str, GraphSource], *, licence_text: str, model_card: str) -> None:
    (draft / "graphs").mkdir(parents=True)
    (draft / "golden").mkdir()
    (draft / "LICENSE").write_text(licence_text, encoding="utf-8")
    (draft / "MODEL_CARD.md").write_text(model_card, encoding="utf-8")
    for name, source in sorted(graphs.items()):
        shutil.copyfile(source.path, draft / _graph_file(name))
        for index, (inputs, outputs) in enumerate(source.golden):
            _write_golden(draft / _golden_file(name, index), inputs, outputs=outputs)


def _copy_studies(draft: Path, studies: Mapping[str, StudySource]) -> dict[str, Any]:
    """Copy the DICOM files beside an empty record, which is filled in once the package can run."""
    for name, source in studies.items():
        folder = draft / "golden" / name
        folder.mkdir()
        for path in sorted(source.folder.glob("*.dcm")):
            shutil.copyfile(path, folder / path.name)
        (folder / EXPECTED).write_text("{}\n", encoding="utf-8")
    entries = [{"name": name, "tolerance": source.tolerance} for name, source in studies.items()]
    return {"golden_studies": entries} if entries else {}


def _graph_file(name: str) -> str:
    return f"graphs/{name}.onnx"


def _golden_file(name: str, index: int) -> str:
    return f"golden/{name}-{index:02d}.npz"


def _write_golden(path: Path, inputs: Arrays, *, outputs: Arrays) -> None:
    """Write one golden pair; numpy's stored (not deflated) zip has fixed dates, so the bytes repeat."""
    members = {f"inputs/{name}": np.ascontiguousarray(inputs[name]) for name in sorted(inputs)}
    members |= {f"outputs/{name}": np.ascontiguousarray(outputs[name]) for name in sorted(outputs)}
    np.savez(path, allow_pickle=False, **members)


def _write_manifest(draft: Path, about: Mapping[str, Any], *, graphs: Mapping[str, GraphSource]) -> None:
    manifest = {
        "schema_version": 1,
        **about,
        "graphs": {name: _graph_entry(name, source) for name, source in sorted(graphs.items())},
        "golden": [entry for name, source in sorted(graphs.items()) for entry in _golden_entries(name, source)],
        "files": {path: _digest(draft / path) for path in _list_files(draft)},
    }
    (draft / MANIFEST_NAME).write_text(_as_yaml(manifest), encoding="utf-8")


def _as_yaml(manifest: Mapping[str, Any]) -> str:
    text: str = yaml.dump(manifest, Dumper=_NoAliases, sort_keys=False, allow_unicode=True, width=110)
    return text


class _NoAliases(yaml.SafeDumper):
    """Writes a list that is used twice out twice: the node's reader refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _graph_entry(name: str, source: GraphSource) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(source.path), providers=["CPUExecutionProvider"])
    tensors = (*session.get_inputs(), *session.get_outputs())
    unknown = sorted(set(source.tensors) - {tensor.name for tensor in tensors})
    if unknown:
        raise ValueError(f"graph {name} has no tensor {', '.join(unknown)}; correct the names in `tensors`")
    return {
        "file": _graph_file(name),
        "inputs": {tensor.name: _tensor_entry(tensor, source) for tensor in session.get_inputs()},
        "outputs": {tensor.name: _tensor_entry(tensor, source) for tensor in session.get_outputs()},
    }


_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def _tensor_entry(tensor: Any, source: GraphSource) -> dict[str, Any]:
    dtype = _DTYPES.get(tensor.type, tensor.type.removeprefix("tensor(").removesuffix(")"))
    return {"dtype": dtype, "shape": list(tensor.shape), **source.tensors.get(tensor.name, {})}


def _golden_entries(name: str, source: GraphSource) -> list[dict[str, Any]]:
    return [
        {"graph": name, "file": _golden_file(name, index), "tolerance": source.tolerance}
        for index in range(len(source.golden))
    ]


def _list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a package, new or instead of earlier ones, and list them; its digest becomes another one.

    Raises
    ------
    PackageError
        The result would not be accepted by the node; the package stays as it was.
    """

    def change(manifest: dict[str, Any]) -> None:
        listed = manifest["files"] | {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        manifest["files"] = dict(sorted(listed.items()))

    _change(folder, change, files=files)


def put_keys(folder: Path, keys: Mapping[str, Any]) -> None:
    """Write keys into a package's manifest, new or instead of earlier ones, before its files; its digest changes.

    Raises
    ------
    PackageError
        The result would not be accepted by the node; the package stays as it was.
    """

    def change(manifest: dict[str, Any]) -> None:
        files = manifest.pop("files")
        manifest.update(keys)
        manifest["files"] = files

    _change(folder, change, files={})


def _change(folder: Path, change: Callable[[dict[str, Any]], object], *, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent.parent, prefix=".writing-") as scratch:
        draft = Path(scratch) / folder.parent.name / folder.name
        shutil.copytree(folder, draft)
        for name, data in files.items():
            (draft / name).write_bytes(data)
        manifest = yaml.safe_load((draft / MANIFEST_NAME).read_bytes())
        change(manifest)
        (draft / MANIFEST_NAME).write_text(_as_yaml(manifest), encoding="utf-8")
        load_package(draft, provider="cpu")
        _replace(folder, draft)


def _replace(folder: Path, draft: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(folder)
