# SPDX-License-Identifier: Apache-2.0
"""Compares the shares of a study with those of the patient's latest older one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.domain.prior import Change, Prior, prior_flags
from service.domain.result import PackageIdentity, Reason
from service.pipelines.diffuse_lung.patterns import Pattern

_SHOWN_PERCENT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The prior study, and the change of each pattern that both studies have a number for, by its name."""

    prior: Prior
    changes: Mapping[str, Change]
    mode: str


def compare(prior: Prior | None, percent: Mapping[str, float], *, mode: str) -> Comparison | None:
    """Return the change of each pattern since the prior; None without a prior.

    `mode` says what the shares are of ("volume" or "slices").
    """
    if prior is None:
        return None
    before = prior.values.get("percent")
    known = before if isinstance(before, dict) else {}
    changes = {
        name: Change(before=float(known[name]), now=now)
        for name, now in percent.items()
        if isinstance(known.get(name), int | float)
    }
    return Comparison(prior=prior, changes=changes, mode=mode)


def comparison_flags(comparison: Comparison, package: PackageIdentity) -> Iterator[Reason]:
    """Yield why a change may not be the patient's."""
    yield from prior_flags(comparison.prior, package)
    before = comparison.prior.values.get("mode")
    if before != comparison.mode:
        yield Reason(
            code="prior_of_other_mode",
            message=f"shares of the prior study are of {before or 'an unknown kind'}, those of this one of "
            f"{comparison.mode}; a change may be that of the sampling; compare series of one protocol",
        )


def comparison_lines(comparison: Comparison, patterns: Sequence[Pattern]) -> Iterator[str]:
    """Yield the change as text, for patterns that were or are there; the largest first."""
    prior = comparison.prior
    yield f"Change since the study of {prior.date} ({prior.package.name} {prior.package.version})"
    if not comparison.changes:
        yield "No share of the prior study can be compared"
    titles = {pattern.name: pattern.title for pattern in patterns}
    shown = {name: each for name, each in comparison.changes.items() if max(each.before, each.now) >= _SHOWN_PERCENT}
    for name, each in sorted(shown.items(), key=lambda item: (-abs(item[1].absolute), item[0])):
        relative = each.relative_percent
        beside = "" if relative is None else f" ({relative:+.0f} %)"
        shares = f"{each.before:.1f} and {each.now:.1f} %"
        yield f"{titles[name]}, before and now: {shares}, {each.absolute:+.1f} points{beside}"


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """Return what the record keeps."""
    prior = comparison.prior
    return {
        "study_instance_uid": prior.study_instance_uid,
        "study_date": prior.study_date,
        "package": {"name": prior.package.name, "version": prior.package.version, "sha256": prior.package.sha256},
        "points": {name: round(each.absolute, 2) for name, each in comparison.changes.items()},
        "relative_percent": {
            name: None if each.relative_percent is None else round(each.relative_percent, 1)
            for name, each in comparison.changes.items()
        },
    }
