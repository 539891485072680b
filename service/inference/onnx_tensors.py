# SPDX-License-Identifier: Apache-2.0
"""Checks the constants of an ONNX graph: numbers, finite, as many as their shape says, and within the limits."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import PackageError

MAX_TENSOR_BYTES: Final = 1 << 30
_STRING: Final = 8
_BFLOAT16: Final = 16
_TYPES: Final[dict[int, tuple[str, str]]] = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    _BFLOAT16: ("<u2", "int32_data"),
}
"""By TensorProto.DataType: numpy's type, and the field that holds the values where raw_data does not."""


def check_tensor(tensor: Any, *, where: str) -> None:
    """Accept a TensorProto of finite numbers that holds what its dimensions say.

    Raises
    ------
    PackageError
        Text, an unknown type, segments, too many or too few values, too large, NaN or infinity.
    """
    if tensor.data_type == _STRING or tensor.string_data:
        raise PackageError(f"{where} holds text; a graph computes with numbers: remove it")
    if tensor.data_type not in _TYPES:
        raise PackageError(f"{where} has element type {tensor.data_type} of onnx.proto; use float or integer weights")
    if tensor.HasField("segment"):
        raise PackageError(f"{where} is stored in segments; save the model as one file")
    dtype, field = _TYPES[tensor.data_type]
    expected = _count(tensor, np.dtype(dtype).itemsize, where=where)
    values = _values(tensor, dtype, field, where=where)
    if len(values) != expected:
        raise PackageError(
            f"{where} says {list(tensor.dims)}, that is {expected} values, but holds {len(values)}; "
            "export the graph again"
        )
    if not _finite(values, tensor.data_type):
        raise PackageError(f"{where} holds NaN or infinity; weights are finite: train or export the graph again")


def _count(tensor: Any, itemsize: int, *, where: str) -> int:
    if any(size < 0 for size in tensor.dims):
        raise PackageError(f"{where} says {list(tensor.dims)}; a dimension is 0 or more")
    count: int = math.prod(tensor.dims)
    if count * itemsize > MAX_TENSOR_BYTES:
        raise PackageError(f"{where} says {count * itemsize} bytes; at most {MAX_TENSOR_BYTES} are allowed")
    return count


def _values(tensor: Any, dtype: str, field: str, *, where: str) -> NDArray[Any]:
    """Return the values as stored; bfloat16 as its bits."""
    typed = getattr(tensor, field)
    if not tensor.raw_data:
        if field == "int32_data" and dtype in {"<f2", "<u2"}:
            return np.asarray(typed, dtype=np.int32).astype(np.uint16).view(dtype)
        return np.asarray(typed, dtype=np.float64 if field == "double_data" else None)
    if len(typed):
        raise PackageError(f"{where} holds its values twice; export the graph again")
    whole = len(tensor.raw_data) - len(tensor.raw_data) % np.dtype(dtype).itemsize
    if whole != len(tensor.raw_data):
        raise PackageError(f"{where} holds {len(tensor.raw_data)} bytes, no whole number of values; export it again")
    return np.frombuffer(tensor.raw_data, dtype)


def _finite(values: NDArray[Any], data_type: int) -> bool:
    if data_type == _BFLOAT16:
        return not bool(np.any((values & 0x7F80) == 0x7F80))
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())
