# SPDX-License-Identifier: Apache-2.0
"""Rules of the expert system: a strict form, read from YAML, and nothing that could be code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from service.domain.errors import PackageError
from service.inference.strict_yaml import yaml_to_json
from service.pipelines.diffuse_lung.features import FEATURES

VERSION: Final = 1
OPERATORS: Final = ("at_least", "above", "at_most", "below")
_LONGEST: Final = 100
_RULE_KEYS: Final = frozenset({"id", "fact", "says", "when"})
_CONDITION_KEYS: Final = frozenset({"feature", *OPERATORS, "times"})
_DIAGNOSES: Final = ("diagnos", "consistent with", "suspicious", "suggest", "disease", "pneumoconiosis", "silicosis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A feature held against a number, or against `times` another feature."""

    feature: str
    operator: str
    number: float = 0.0
    other: str = ""
    times: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When all facts were concluded and all conditions hold, the rule concludes `fact` and says so."""

    id: str
    fact: str
    says: str
    facts: tuple[str, ...]
    conditions: tuple[Condition, ...]


@cache
def default_rules() -> tuple[Rule, ...]:
    """Return the rules that come with the node."""
    where = "rules.yaml"
    document = files("service.pipelines.diffuse_lung").joinpath(where).read_bytes()
    return parse_rules(json.loads(yaml_to_json(document, where=where)), where=where)


def parse_rules(document: Any, *, where: str = "parameters.rules") -> tuple[Rule, ...]:
    """Take a document of rules.

    Raises
    ------
    PackageError
        Anything in it is not of the form, or speaks of what is not known; the message lists what is.
    """
    if not isinstance(document, Mapping) or set(document) != {"version", "rules"}:
        raise PackageError(f"{where}: the keys are version and rules, nothing else")
    if document["version"] != VERSION:
        raise PackageError(
            f"{where}: version value {document['version']!r} is not supported, this node reads {VERSION}"
        )
    entries = document["rules"]
    if not isinstance(entries, list) or not entries:
        raise PackageError(f"{where}: rules is no list, or an empty one")
    rules = tuple(_rule(entry, f"{where}: rule {number}") for number, entry in enumerate(entries, start=1))
    _check_names(rules, where)
    return rules


def _check_names(rules: Sequence[Rule], where: str) -> None:
    for what, names in (("id", [rule.id for rule in rules]), ("fact", [rule.fact for rule in rules])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PackageError(f"{where}: {what} {', '.join(twice)} is given twice")
    concluded = {rule.fact for rule in rules}
    for rule in rules:
        unknown = sorted(set(rule.facts) - concluded)
        if unknown:
            raise PackageError(
                f"{where}: rule {rule.id}: no rule concludes the fact {', '.join(unknown)}; "
                f"known are {', '.join(sorted(concluded))}"
            )


def _rule(entry: Any, where: str) -> Rule:
    if not isinstance(entry, Mapping) or set(entry) != _RULE_KEYS:
        raise PackageError(f"{where}: the keys are {', '.join(sorted(_RULE_KEYS))}, all of them and no others")
    where = f"{where} ({entry['id']})"
    texts = {key: _text(entry[key], f"{where}: {key}") for key in ("id", "fact", "says")}
    diagnosis = next((word for word in _DIAGNOSES if word in texts["says"].lower()), None)
    if diagnosis is not None:
        raise PackageError(f"{where}: says has {diagnosis!r}; a rule names features that are present, no disease")
    when = entry["when"]
    if not isinstance(when, list) or not when:
        raise PackageError(f"{where}: when is no list of conditions, or an empty one")
    facts = tuple(_text(item["fact"], f"{where}: fact") for item in when if _is_fact(item))
    conditions = tuple(_condition(item, where) for item in when if not _is_fact(item))
    return Rule(**texts, facts=facts, conditions=conditions)


def _is_fact(item: Any) -> bool:
    return isinstance(item, Mapping) and set(item) == {"fact"}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isascii() or not value.isprintable():
        raise PackageError(f"{where}: value {value!r} is no plain text of 1 to {_LONGEST} characters")
    return value


def _condition(item: Any, where: str) -> Condition:
    if not isinstance(item, Mapping) or not set(item) <= _CONDITION_KEYS:
        raise PackageError(
            f"{where}: condition {item!r} is neither a fact nor made of {', '.join(sorted(_CONDITION_KEYS))}"
        )
    operators = [key for key in OPERATORS if key in item]
    if len(operators) != 1:
        raise PackageError(f"{where}: condition {item!r} has {len(operators)} operators; one of {', '.join(OPERATORS)}")
    bound, feature = item[operators[0]], _feature(item.get("feature"), where)
    times = _number(item.get("times", 1.0), f"{where}: times")
    if isinstance(bound, str):
        return Condition(feature=feature, operator=operators[0], other=_feature(bound, where), times=times)
    if "times" in item:
        raise PackageError(f"{where}: condition {item!r} multiplies a number; times goes with another feature")
    return Condition(feature=feature, operator=operators[0], number=_number(bound, f"{where}: {operators[0]}"))


def _feature(value: Any, where: str) -> str:
    if value not in FEATURES:
        raise PackageError(f"{where}: unknown feature {value!r}; known are {', '.join(FEATURES)}")
    return str(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
        raise PackageError(f"{where}: value {value!r} is no number from 0 to 1000")
    return float(value)
