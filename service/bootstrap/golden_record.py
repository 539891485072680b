# SPDX-License-Identifier: Apache-2.0
"""What a golden study must come to: a pipeline's result as JSON that two machines can be compared by.

Kept is everything that the result says, but the package (whose digest this record is part of) and the time. Of arrays
their shape, statistics and means over a coarse grid are kept; of outlines their bounds, because the number of their
points may differ by one from processor to processor.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.record import Arrays, result_document
from service.domain.result import PipelineResult

FORMAT: Final = 1
_LEFT_OUT: Final = ("package", "analysed_at")
_GRID: Final = 4
_DIGITS: Final = 6
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


def golden_record(result: PipelineResult) -> dict[str, Any]:
    """Return what is kept of a result; JSON types."""
    plain, arrays = result_document(result)
    kept = {key: _reduced(value, arrays, key=key) for key, value in plain.items() if key not in _LEFT_OUT}
    return {"format": FORMAT, "result": kept}


def to_json(record: Mapping[str, Any]) -> str:
    """Return a record as it is written to a package."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _reduced(value: Any, arrays: Arrays, *, key: str) -> Any:
    if isinstance(value, dict) and set(value) == {"array", "shape", "dtype"}:
        return _statistics(arrays[value["array"]])
    if isinstance(value, dict):
        return {name: _reduced(entry, arrays, key=name) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return _bounds(value) if key == "points" else [_reduced(entry, arrays, key="") for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return round(value, _DIGITS) if isinstance(value, float) else value


def _bounds(points: Any) -> dict[str, Any]:
    places = np.asarray(points, dtype=np.float64)
    if not places.size:
        return {"lowest": [], "highest": []}
    return {"lowest": _rounded(places.min(axis=0)), "highest": _rounded(places.max(axis=0))}


def _statistics(array: NDArray[Any]) -> dict[str, Any]:
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    summary = {"mean": finite.mean(), "deviation": finite.std(), "highest": finite.max()} if finite.size else {}
    share = finite.size / max(1, values.size)
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "finite": round(share, _DIGITS),
        **{name: round(float(value), _DIGITS) for name, value in summary.items()},
        "grid": _grid(values),
    }


def _grid(values: NDArray[np.float64]) -> list[list[float]]:
    """Return the mean over each of 4 x 4 parts of the last two axes; all earlier ones are averaged."""
    if values.ndim < 2:
        return []
    rows = np.array_split(np.arange(values.shape[-2]), _GRID)
    columns = np.array_split(np.arange(values.shape[-1]), _GRID)
    plane = np.nan_to_num(values.reshape(-1, *values.shape[-2:])).mean(axis=0)
    return [[round(float(plane[np.ix_(row, column)].mean()), _DIGITS) for column in columns] for row in rows]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]


def differences(found: Any, expected: Any, *, tolerance: float, path: str = "result") -> Iterator[str]:
    """Yield every difference of a record from the expected one, as a sentence.

    Numbers may differ by `tolerance` as a share of the expected one, or of 1 where that is smaller; numbers in texts by
    one more unit of their last digit.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        if set(found) != set(expected):
            yield f"{path} has {', '.join(sorted(found))}, expected are {', '.join(sorted(expected))}"
            return
        for key, value in found.items():
            yield from differences(value, expected[key], tolerance=tolerance, path=f"{path}.{key}")
    elif isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            yield f"{path} has {len(found)} entries, expected are {len(expected)}"
            return
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, tolerance=tolerance, path=f"{path}.{index}")
    elif not _alike(found, expected, tolerance=tolerance):
        yield f"{path} is {_shown(found)}, expected is {_shown(expected)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _alike(found: Any, expected: Any, *, tolerance: float) -> bool:
    if isinstance(found, str) and isinstance(expected, str):
        return found == expected or _texts_alike(found, expected, tolerance=tolerance)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (found, expected))
    if not numbers:
        return type(found) is type(expected) and bool(found == expected)
    return bool(abs(found - expected) <= tolerance * max(1.0, abs(expected)))


def _texts_alike(found: str, expected: str, *, tolerance: float) -> bool:
    """Compare texts but for the numbers in them, and these as numbers that were rounded."""
    if _NUMBER.split(found) != _NUMBER.split(expected):
        return False
    pairs = zip(_NUMBER.findall(found), _NUMBER.findall(expected), strict=True)
    return all(
        abs(float(one) - float(other)) <= tolerance * max(1.0, abs(float(other))) + _last_digit(other)
        for one, other in pairs
        if one != other
    )


def _last_digit(number: str) -> float:
    return float(10.0 ** -len(number.partition(".")[2])) if "." in number else 0.0
