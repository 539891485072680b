# SPDX-License-Identifier: Apache-2.0
"""Exports a torch module to ONNX, proves parity on the spot and hands back the golden tensors."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from service.inference.onnx_file import check_onnx

OPSET = 18
"""The newest operator set that a package may use."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written: the file, golden (inputs, outputs) pairs and the largest difference from torch."""

    path: Path
    golden: tuple[tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]], ...]
    largest_difference: float


def export_onnx(
    module: torch.nn.Module,
    path: Path,
    *,
    examples: Sequence[Arrays],
    output_names: Sequence[str],
    free_axes: Mapping[str, Mapping[int, str]] | None = None,
    tolerance: float = 1e-5,
) -> Export:
    """Write `module` as one ONNX file and compare it with torch on every example.

    Axis 0 of every tensor is free and called "batch".

    Parameters
    ----------
    examples
        Inputs by name, in the order of `forward`'s parameters; they become the golden inputs.
    output_names
        Names of the tensors that `forward` returns, in order.
    free_axes
        Further free axes by tensor name, for example {"image": {2: "rows", 3: "columns"}}.
    tolerance
        Largest allowed difference between torch and ONNX Runtime, relative to the largest value of the output (or 1).

    Raises
    ------
    ValueError
        ONNX Runtime's outputs differ from torch's by more than `tolerance`.
    PackageError
        The node would not load the file: another operator set or domain than it knows.
    """
    module = module.eval()
    names = (*examples[0], *output_names)
    axes = {name: {0: "batch"} | dict((free_axes or {}).get(name, {})) for name in names}
    _write(module, path, example=examples[0], output_names=output_names, axes=axes)
    check_onnx(path.read_bytes(), where=path.name)
    golden = tuple((_arrays(example), _run_torch(module, example, output_names)) for example in examples)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = max(_difference(session, inputs, outputs) for inputs, outputs in golden)
    if difference > tolerance:
        raise ValueError(f"{path.name} differs from torch by {difference:.2g}; at most {tolerance:.2g} is allowed")
    return Export(path=path, golden=golden, largest_difference=difference)


def _write(
    module: torch.nn.Module,
    path: Path,
    *,
    example: Arrays,
    output_names: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The tracing exporter is chosen because it writes one file, without onnxscript, with the same bytes each time.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in example.values()),
            str(path),
            input_names=list(example),
            output_names=list(output_names),
            dynamic_axes={name: dict(free) for name, free in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )


def _arrays(example: Arrays) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(array) for name, array in example.items()}


@torch.no_grad()
def _run_torch(module: torch.nn.Module, example: Arrays, output_names: Sequence[str]) -> dict[str, NDArray[Any]]:
    outputs = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in example.values()))
    tensors = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
    return {name: tensor.numpy().copy() for name, tensor in zip(output_names, tensors, strict=True)}


def _difference(session: Any, inputs: Arrays, expected: Arrays) -> float:
    outputs = session.run(list(expected), dict(inputs))
    return max(
        float(np.max(np.abs(output - array), initial=0.0)) / max(1.0, float(np.max(np.abs(array), initial=0.0)))
        for output, array in zip(outputs, expected.values(), strict=True)
    )
