# SPDX-License-Identifier: Apache-2.0
"""Heat-map detectors beside that of masses as parts of a package: exported with free height and width."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.export import export_onnx
from models.networks.heat_map import HeatMapGraph
from models.packaging import GraphSource

_OUTPUTS = ("heat", "offset", "size", "marks")


def heat_map_source(
    graph: HeatMapGraph, path: Path, windows: Iterable[NDArray[np.float32]], *, heat: str, marks: str
) -> GraphSource:
    """Export a graph; `windows` (2, rows, columns) become golden inputs, `heat` and `marks` describe those outputs."""
    maps = {name: {2: f"{name}_rows", 3: f"{name}_columns"} for name in ("image", "heat", "offset", "size")}
    export = export_onnx(
        graph,
        path,
        examples=[{"image": window[None]} for window in windows],
        output_names=_OUTPUTS,
        free_axes=maps,
        tolerance=1e-4,
    )
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-2,
        tensors={
            "image": {"channels": ["grey inside the breast", "breast mask"], "value_range": [0.0, 1.0]},
            "heat": {"description": heat},
            "marks": {"description": marks},
        },
    )
