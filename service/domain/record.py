# SPDX-License-Identifier: Apache-2.0
"""Keeps a PipelineResult between the analyse and encode steps: JSON that people can read, arrays beside it."""

import io
import json
import os
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from service.domain.errors import StorageError
from service.domain.prior import Prior
from service.domain.result import Outcome, PackageIdentity, PipelineResult

RESULT_FILE = "result.json"
ARRAYS_FILE = "arrays.npz"
FORMAT = 1
"""Written into every record; a reader refuses a number that it does not know."""

Arrays = dict[str, Any]


def save_result(result: PipelineResult, folder: Path) -> None:
    """Write the result into `folder` (made when absent), replacing an older one; `result.json` appears last."""
    plain, arrays = result_document(result)
    document = {"format": FORMAT, "result": plain}
    text = json.dumps(document, indent=2, ensure_ascii=False, default=_scalar)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / ARRAYS_FILE, packed.getvalue())
    _replace(folder / RESULT_FILE, f"{text}\n".encode())


def result_document(result: PipelineResult) -> tuple[dict[str, Any], Arrays]:
    """Return the result as JSON types (numpy's numbers among them), and its arrays by the path that it names."""
    arrays: Arrays = {}
    plain: dict[str, Any] = _plain(result, arrays=arrays, path="result")
    return plain, arrays


def load_result(folder: Path) -> PipelineResult:
    """Read back what `save_result` wrote, equal field by field.

    Raises
    ------
    StorageError
        The record is of an unknown format.
    """
    document = _document(folder)
    with np.load(folder / ARRAYS_FILE, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    result: PipelineResult = _typed(document["result"], PipelineResult, arrays=arrays)
    return result


def load_prior(folder: Path, *, study_instance_uid: str, study_date: str, package: PackageIdentity) -> Prior:
    """Read what later studies are compared with: outcome and numbers, and none of the arrays.

    Raises
    ------
    StorageError
        The record is not there, cannot be read, or is of an unknown format or of another study.
    """
    try:
        result = _document(folder)["result"]
        of_study, outcome, values = result["study_instance_uid"], Outcome(result["outcome"]), dict(result["values"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{RESULT_FILE} of the prior study cannot be read: {type(error).__name__}") from error
    if of_study != study_instance_uid:
        raise StorageError(f"{RESULT_FILE} of the prior study is that of another study")
    return Prior(
        study_instance_uid=study_instance_uid, study_date=study_date, package=package, outcome=outcome, values=values
    )


def kept_values(folder: Path) -> dict[str, Any] | None:
    """Return what stays of a result when its folder is deleted: outcome and values; None when there is no record."""
    try:
        result = _document(folder)["result"]
        return {"outcome": Outcome(result["outcome"]).value, "values": dict(result["values"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StorageError):
        return None


def _document(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise StorageError(
            f"{RESULT_FILE}: 'format' value {document.get('format')!r} is not supported, this version reads {FORMAT}; "
            "analyse the study again"
        )
    return document


def _replace(path: Path, content: bytes) -> None:
    """Put the whole content on stable storage under this name, or leave what was there."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _plain(value: Any, *, arrays: Arrays, path: str) -> Any:
    """Turn a domain value into JSON types; arrays go into `arrays` under their path."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path, "shape": list(value.shape), "dtype": str(value.dtype)}
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        return {name: _plain(getattr(value, name), arrays=arrays, path=f"{path}.{name}") for name in names}
    if isinstance(value, tuple):
        return [_plain(entry, arrays=arrays, path=f"{path}.{index}") for index, entry in enumerate(value)]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def _scalar(value: Any) -> Any:
    """Let numpy's scalars through as numbers; anything else in `values` breaks the contract."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a result holds a {type(value).__name__}; 'values' takes JSON types only, convert it first")


def _typed(value: Any, hint: Any, *, arrays: Mapping[str, Any]) -> Any:
    """Turn JSON types back into the value that the type hint asks for."""
    origin = get_origin(hint)
    if origin in {types.UnionType, Union}:
        return _optional(value, hint, arrays=arrays)
    if origin is tuple:
        return _tuple(value, get_args(hint), arrays=arrays)
    if origin is np.ndarray:
        return arrays[value["array"]]
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{name: _typed(entry, hints[name], arrays=arrays) for name, entry in value.items()})
    if hint is datetime:
        return datetime.fromisoformat(value)
    return hint(value) if hint is float or (isinstance(hint, type) and issubclass(hint, Enum)) else value


def _optional(value: Any, hint: Any, *, arrays: Mapping[str, Any]) -> Any:
    """Read `X | None`, the only union that domain values use."""
    if value is None:
        return None
    (inner,) = (argument for argument in get_args(hint) if argument is not types.NoneType)
    return _typed(value, inner, arrays=arrays)


def _tuple(values: list[Any], hints: tuple[Any, ...], *, arrays: Mapping[str, Any]) -> tuple[Any, ...]:
    """Read a tuple of one type (`tuple[X, ...]`) or of fixed length."""
    each = hints[:1] * len(values) if hints[-1] is Ellipsis else hints
    return tuple(_typed(value, hint, arrays=arrays) for value, hint in zip(values, each, strict=True))
