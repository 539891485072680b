# SPDX-License-Identifier: Apache-2.0
"""Applies rules to measured features, forward, until nothing new follows; keeps what made each rule fire."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from service.pipelines.diffuse_lung.rules import Condition, Rule

Features = Mapping[str, float | None]
_COMPARE: Mapping[str, tuple[Callable[[float, float], bool], str]] = MappingProxyType(
    {
        "at_least": (operator.ge, ">="),
        "above": (operator.gt, ">"),
        "at_most": (operator.le, "<="),
        "below": (operator.lt, "<"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A rule that fired: the facts it stood on, and each condition with the values that it held for."""

    rule: Rule
    because: tuple[str, ...]


def infer(rules: Sequence[Rule], features: Features) -> tuple[Fired, ...]:
    """Return the rules that fire, in their order within the order in which they could.

    A feature that was not read (None) makes no condition hold, not even that of being small. Rules only add facts, so
    their order does not change what follows.
    """
    fired: dict[str, Fired] = {}
    facts: set[str] = set()
    while True:
        new = [rule for rule in rules if rule.id not in fired and _holds(rule, facts, features)]
        if not new:
            return tuple(fired.values())
        fired |= {rule.id: Fired(rule=rule, because=tuple(_because(rule, features))) for rule in new}
        facts |= {rule.fact for rule in new}


def _holds(rule: Rule, facts: set[str], features: Features) -> bool:
    return facts.issuperset(rule.facts) and all(_is_met(condition, features) for condition in rule.conditions)


def _is_met(condition: Condition, features: Features) -> bool:
    value, bound = features[condition.feature], _bound(condition, features)
    return value is not None and bound is not None and _COMPARE[condition.operator][0](value, bound)


def _bound(condition: Condition, features: Features) -> float | None:
    if not condition.other:
        return condition.number
    other = features[condition.other]
    return None if other is None else condition.times * other


def _because(rule: Rule, features: Features) -> Iterator[str]:
    yield from rule.facts
    for condition in rule.conditions:
        sign = _COMPARE[condition.operator][1]
        bound = f"{condition.number:g}"
        if condition.other:
            bound = f"{condition.times:g} x {condition.other} {features[condition.other]:.1f}"
        yield f"{condition.feature} {features[condition.feature]:.1f} {sign} {bound}"


def expert_lines(fired: Sequence[Fired]) -> Iterator[str]:
    """Yield what the rules say, one line for each that fired, with its number."""
    for each in fired:
        yield f"Features present: {each.rule.says} [{each.rule.id}]"


def expert_values(fired: Sequence[Fired]) -> list[dict[str, Any]]:
    """Return the trace for the record."""
    return [{"rule": each.rule.id, "fact": each.rule.fact, "because": list(each.because)} for each in fired]
