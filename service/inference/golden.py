# SPDX-License-Identifier: Apache-2.0
"""Golden tensors: inputs and the outputs that a graph must give for them on this machine too."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import PackageError
from service.inference.archive import ZIP_FAULTS
from service.inference.decomposition import check_decomposition
from service.inference.evidence import Decomposition
from service.inference.session import Arrays, Session

MAX_UNPACKED_BYTES: Final = 1 << 28
GOLDEN_SECONDS: Final = 120.0
"""Longest that one graph may take on one golden input, on a busy machine."""
NOT_VALIDATED: Final = "the graph or this ONNX Runtime is not the validated one"
NOT_IN_BF16: Final = (
    "bf16 differs from float32 by more than this package's maker allows (tolerance_bf16, if it has any); name "
    "'openvino' or 'cpu' in inference.provider, or get a package that was validated in bf16"
)
"""Why outputs may differ, and what to do."""
_MAGIC: Final = b"PK\x03\x04"
_INPUTS: Final = "inputs/"
_OUTPUTS: Final = "outputs/"


def check_golden(
    session: Session,
    data: bytes,
    *,
    tolerance: float,
    share: float | None = None,
    cause: str = NOT_VALIDATED,
    where: str,
    maps: Sequence[Decomposition] = (),
    limit_seconds: float = GOLDEN_SECONDS,
) -> float:
    """Run the golden inputs and return the largest absolute difference from the golden outputs.

    Raises
    ------
    PackageError
        The file is damaged, does not fit the graph, an output differs by more than `tolerance`, one of `maps` does not
        add up to its score, or the graph takes longer than `limit_seconds`. With `share`, outputs and maps may differ
        by so much of an output's largest number, or of 1 where that is below 1. `cause` is what the message says then.
    """
    inputs, expected = golden_arrays(data, where=where)
    outputs = session.run(inputs, limit_seconds=limit_seconds)
    differences = _differences(outputs, expected, where=where)
    for name, difference in differences.items():
        allowed = tolerance if share is None else share * _scale(expected[name])
        if not difference <= allowed:
            raise PackageError(
                f"{where}: this machine's outputs differ from the golden ones by {difference:.3g} ({name}); at most "
                f"{allowed:.3g} is allowed: {cause}"
            )
    for entry in maps:
        relative = None if share is None else share * _scale(expected[entry.score])
        check_decomposition(entry, outputs, where=where, tolerance=relative)
    return max(differences.values())


def golden_arrays(data: bytes, *, where: str) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the golden inputs and outputs by tensor name; every number is finite.

    Raises
    ------
    PackageError
        The file is damaged, or holds NaN or infinity.
    """
    arrays = _unpack(data, where=where)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PackageError(
                f"{where}: {name} holds NaN or infinity, to which nothing can be compared; make it again"
            )
    return _select(arrays, _INPUTS), _select(arrays, _OUTPUTS)


def _unpack(data: bytes, *, where: str) -> dict[str, NDArray[Any]]:
    if not data.startswith(_MAGIC):  # numpy takes other files, too, by their first bytes
        raise PackageError(f"{where}: not golden tensors (no .npz file); re-install the package")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_UNPACKED_BYTES:
            raise PackageError(f"{where}: unpacks to {size} bytes; at most {MAX_UNPACKED_BYTES} are allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (*ZIP_FAULTS, MemoryError, SyntaxError) as error:
        raise PackageError(f"{where}: not golden tensors ({error}); re-install the package") from None


def _select(arrays: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _differences(outputs: Arrays, expected: Arrays, *, where: str) -> dict[str, float]:
    """Return the largest absolute difference of each output, the worst first."""
    if set(outputs) != set(expected):
        raise PackageError(
            f"{where}: holds outputs {', '.join(sorted(expected))}, the graph has {', '.join(sorted(outputs))}"
        )
    for name, array in expected.items():
        if array.shape != outputs[name].shape:
            raise PackageError(f"{where}: output {name} has shape {array.shape}, the graph gives {outputs[name].shape}")
    found = {name: _difference(outputs[name], array) for name, array in expected.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _scale(array: NDArray[Any]) -> float:
    return max(1.0, float(np.max(np.abs(array.astype(np.float64)), initial=0.0)))


def _difference(output: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.max(np.abs(output.astype(np.float64) - expected.astype(np.float64)), initial=0.0))
