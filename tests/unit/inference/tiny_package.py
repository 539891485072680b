# SPDX-License-Identifier: Apache-2.0
"""A whole, tiny model package for tests, and the ways to damage it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper

from models.packaging import GraphSource, write_package

ABOUT: dict[str, Any] = {
    "name": "tiny",
    "version": "0.1.0",
    "title": "Tiny demonstration",
    "pipeline": "pneumoconiosis",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Tests of the node.",
    "trained_on": "nothing",
    "licence": "Apache-2.0",
    "contact": "https://example.org/dokuei",
    "classes": [{"name": "lung", "code": {"value": "39607008", "scheme": "SCT"}}],
    "operating_points": {"balanced": {"threshold": 0.5, "measured_on": "nothing"}},
    "triage_operating_point": "balanced",
    "parameters": {"spacing_mm": 0.5},
    "acceptance": {"view_positions": ["PA"]},
    "training": {
        "recipe": "tests",
        "seed": 1,
        "data": "none",
        "metrics": [{"name": "AUC", "condition": "scanner-shift", "value": 0.5}],
    },
}
IMAGE = np.random.default_rng(5).random((2, 1, 4, 6)).astype(np.float32)


def scale_model(factor: float = 2.0, *, opset: int = 18) -> onnx.ModelProto:
    """Return a graph that multiplies its image."""
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    node = helper.make_node("Mul", ["image", "factor"], ["scaled"])
    return finish_model([node], initializers=[constant], opset=opset)


def finish_model(
    nodes: list[Any], *, initializers: list[Any] | None = None, opset: int = 18, domains: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Wrap nodes from "image" to "scaled" as a model."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 6])
    scaled = helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["batch", 1, 4, 6])
    graph = helper.make_graph(nodes, "tiny", [image], [scaled], initializer=initializers or [])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def write_tiny(packages_folder: Path, **changes: Any) -> Path:
    """Write the package and return its folder."""
    model = packages_folder.parent / "tiny.onnx"
    onnx.save(scale_model(), model)
    source = GraphSource(
        path=model,
        golden=[({"image": IMAGE}, {"scaled": IMAGE * 2})],
        tensors={"image": {"channels": ["grey"], "value_range": [0, 1]}},
    )
    return write_package(
        packages_folder,
        ABOUT | changes,
        graphs={"zones": source},
        licence_text="Apache-2.0\n",
        model_card="# Tiny\n",
    )


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as a person with an editor does."""
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    change(manifest)
    path.write_text(yaml.safe_dump(manifest))


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and its digest, so that only its content can be refused."""
    (folder / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def replace_model(folder: Path, model: onnx.ModelProto) -> None:
    """Replace the graph, resealed."""
    replace_file(folder, "graphs/zones.onnx", model.SerializeToString())
