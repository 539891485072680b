# SPDX-License-Identifier: Apache-2.0
"""Evaluates the rules of config.yaml on an instance, and says why each holds or not."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword

from service.domain.errors import ConfigurationError
from service.domain.instance import Instance, Scalar
from service.settings import Condition, RuleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A condition's outcome in words; `parts` are the conditions inside an all, any or not."""

    holds: bool
    text: str
    parts: tuple["Explanation", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of one instance."""

    rule: RuleSettings
    explanation: Explanation

    @property
    def holds(self) -> bool:
        """Whether the rule wants the instance."""
        return self.explanation.holds


def matching_rules(rules: Iterable[RuleSettings], instances: Sequence[Instance]) -> tuple[RuleSettings, ...]:
    """Return the rules that want any of the instances, in the order of config.yaml."""
    return tuple(rule for rule in rules if any(explain(rule.when, instance).holds for instance in instances))


def verdicts(rules: Iterable[RuleSettings], instance: Instance) -> tuple[Verdict, ...]:
    """Return what every rule says of an instance."""
    return tuple(Verdict(rule=rule, explanation=explain(rule.when, instance)) for rule in rules)


def wanted_pipelines(rules: Iterable[RuleSettings]) -> tuple[str, ...]:
    """Return the pipelines of the rules, each once, in order."""
    return tuple(dict.fromkeys(pipeline for rule in rules for pipeline in rule.pipelines))


def check_keywords(rules: Iterable[RuleSettings]) -> None:
    """Refuse rules on attributes that DICOM does not have: they would never hold, and nobody would notice.

    Raises
    ------
    ConfigurationError
        It names the rule and the keyword.
    """
    for rule in rules:
        for keyword in sorted(keywords([rule])):
            if any(tag_for_keyword(part) is None for part in keyword.split(".")):
                raise ConfigurationError(
                    f"rules: {rule.name!r} looks at attribute {keyword!r}, which is no keyword of PS3.6; "
                    "write it as in the data dictionary, for example BodyPartExamined"
                )


def keywords(rules: Iterable[RuleSettings]) -> frozenset[str]:
    """Return every attribute that the rules look at."""
    return frozenset(keyword for rule in rules for keyword in _keywords(rule.when))


def explain(condition: Condition, instance: Instance) -> Explanation:
    """Evaluate a condition and say why it holds or not."""
    if condition.attribute is not None:
        return _compared(condition, condition.attribute, instance.values(condition.attribute))
    if condition.not_ is not None:
        part = explain(condition.not_, instance)
        return Explanation(holds=not part.holds, text="not", parts=(part,))
    if condition.all is not None:
        parts = tuple(explain(part, instance) for part in condition.all)
        return Explanation(holds=all(part.holds for part in parts), text="all of", parts=parts)
    parts = tuple(explain(part, instance) for part in condition.any or ())
    return Explanation(holds=any(part.holds for part in parts), text="any of", parts=parts)


def could_match(condition: Condition, known: Mapping[str, str]) -> bool:
    """Say whether a condition may hold for images of which some attributes are known, and others not."""
    return _holds(condition, known) is not False


def _holds(condition: Condition, known: Mapping[str, str]) -> bool | None:
    """Return whether a condition holds; None where that depends on what is not known."""
    if condition.attribute is not None:
        value = known.get(condition.attribute)
        return None if value is None else _comparison(condition, (value,))[1]
    if condition.not_ is not None:
        part = _holds(condition.not_, known)
        return None if part is None else not part
    parts = [_holds(part, known) for part in condition.all or condition.any or ()]
    deciding = condition.all is None
    if deciding in parts:
        return deciding
    return None if None in parts else not deciding


def lines(explanation: Explanation, *, depth: int = 0) -> Iterator[str]:
    """Yield the explanation as indented lines, each with a check mark or a cross."""
    yield f"{'  ' * depth}{'✓' if explanation.holds else '✗'} {explanation.text}"
    for part in explanation.parts:
        yield from lines(part, depth=depth + 1)


def _compared(condition: Condition, attribute: str, values: tuple[Scalar, ...]) -> Explanation:
    rule, holds = _comparison(condition, values)
    actual = ", ".join(repr(value) for value in values) if values else "empty or absent"
    return Explanation(holds=holds, text=f"{attribute} {rule} (is {actual})")


def _comparison(condition: Condition, values: tuple[Scalar, ...]) -> tuple[str, bool]:
    if condition.present is not None:
        return ("is present" if condition.present else "is absent"), bool(values) == condition.present
    if condition.equals is not None:
        return f"equals {condition.equals!r}", any(_same(value, condition.equals) for value in values)
    if condition.in_ is not None:
        allowed = condition.in_
        return f"in {list(allowed)!r}", any(_same(value, entry) for value in values for entry in allowed)
    if condition.regex is not None:
        pattern = re.compile(condition.regex, re.IGNORECASE)
        return f"matches {condition.regex!r}", any(pattern.search(str(value)) for value in values)
    low, high = condition.range or (0.0, 0.0)
    numbers = [number for number in map(_number, values) if number is not None]
    return f"in range {low:g} to {high:g}", any(low <= number <= high for number in numbers)


def _same(value: Scalar, wanted: Scalar) -> bool:
    if isinstance(wanted, str):
        return str(value).strip().casefold() == wanted.strip().casefold()
    return _number(value) == wanted


def _number(value: Scalar) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _keywords(condition: Condition) -> Iterator[str]:
    if condition.attribute is not None:
        yield condition.attribute
    nested = [*(condition.all or ()), *(condition.any or ()), *([condition.not_] if condition.not_ else [])]
    for part in nested:
        yield from _keywords(part)
