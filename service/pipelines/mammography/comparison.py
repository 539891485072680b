# SPDX-License-Identifier: Apache-2.0
"""What has changed since the patient's latest older exam: scores and density of the breasts, marks shown."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.domain.prior import Change, Prior, prior_flags
from service.domain.result import PipelineResult
from service.pipelines.mammography.views import SIDE_NAMES

_KINDS = ("breasts", "density")
"""The mappings of the record that have a number for each side."""


def with_prior(result: PipelineResult, prior: Prior) -> PipelineResult:
    """Return the result with what has changed, and a flag where another package read the older exam."""
    changes = {kind: _changes(prior.values.get(kind), result.values.get(kind)) for kind in _KINDS}
    exam = _change(prior.values.get("exam"), result.values.get("exam"))
    lines = _lines(prior, exam, changes)
    flags = tuple(prior_flags(prior, result.package)) if result.package is not None and exam is not None else ()
    return replace(
        result,
        summary=(*result.summary, *lines),
        flags=(*result.flags, *flags),
        values={**result.values, **_values(prior, exam, changes)},
    )


def _lines(prior: Prior, exam: Change | None, changes: Mapping[str, Mapping[str, Change]]) -> tuple[str, ...]:
    if exam is None:
        return (f"The result of {prior.date} holds no exam score to compare with.",)
    scores = [f"{SIDE_NAMES[side]} {_words(change, 2)}" for side, change in changes["breasts"].items()]
    dense = [f"{SIDE_NAMES[side]} {_words(change, 0, 100)} %" for side, change in changes["density"].items()]
    score_line = f"Since {prior.date}: exam score {_words(exam, 2)}; breasts: {', '.join(scores) or '-'}"
    return (score_line, *([f"Since {prior.date}: dense area {', '.join(dense)}"] if dense else []))


def _words(change: Change, digits: int, factor: float = 1.0) -> str:
    return f"{factor * change.before:.{digits}f} to {factor * change.now:.{digits}f}"


def _changes(before: Any, now: Any) -> dict[str, Change]:
    """Return the changes of the sides that both records hold; another version may have written anything."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return {}
    found = {side: _change(before.get(side), now.get(side)) for side in SIDE_NAMES}
    return {side: change for side, change in found.items() if change is not None}


def _change(before: Any, now: Any) -> Change | None:
    if not _is_number(before) or not _is_number(now):
        return None
    return Change(before=float(before), now=float(now))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _values(prior: Prior, exam: Change | None, changes: Mapping[str, Mapping[str, Change]]) -> dict[str, Any]:
    """Return the changes for the record."""
    if exam is None:
        return {}
    by_kind = {
        f"change_{kind}": {side: round(change.absolute, 6) for side, change in found.items()}
        for kind, found in changes.items()
    }
    return {"prior_date": prior.date, "change_exam": round(exam.absolute, 6), **by_kind}
