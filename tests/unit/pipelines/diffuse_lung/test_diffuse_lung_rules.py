# SPDX-License-Identifier: Apache-2.0
"""Every rule fires where it must and is silent where it must; nothing but the known form is taken."""

import copy
import random
from typing import Any

import pytest
from test_diffuse_lung_extent import PATTERNS, extent_of, section

from service.domain.errors import PackageError
from service.pipelines.diffuse_lung.expert import expert_lines, expert_values, infer
from service.pipelines.diffuse_lung.features import FEATURES, measure_features
from service.pipelines.diffuse_lung.groups import parse_groups
from service.pipelines.diffuse_lung.rules import default_rules, parse_rules

NOTHING: dict[str, float | None] = dict.fromkeys(FEATURES, 0.0)


def measured(**groups: dict[str, float]) -> dict[str, float | None]:
    """All features 0 but those given by group."""
    given = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    assert set(given) <= set(FEATURES)
    return {**NOTHING, **given}


SUBPLEURAL = {"subpleural_percent": 15.0, "central_percent": 10.0}
BASAL = {"lower_percent": 15.0, "upper_percent": 10.0}
UPPER = {"upper_percent": 15.0, "lower_percent": 10.0}
CASES: dict[str, tuple[dict[str, float | None], dict[str, float | None]]] = {
    "R01": (measured(honeycombing={"percent": 2}), measured(honeycombing={"percent": 1.99})),
    "R02": (measured(irregular={"percent": 5}), measured(irregular={"percent": 4.99})),
    "R03": (measured(attenuation={"percent": 5}), measured(attenuation={"percent": 4.99})),
    "R04": (measured(rounded={"percent": 5}), measured(rounded={"percent": 4.99})),
    "R05": (measured(emphysema={"percent": 5}), measured(emphysema={"percent": 4.99})),
    "R06": (measured(consolidation={"percent": 5}), measured(consolidation={"percent": 4.99})),
    "R07": (measured(cysts={"percent": 2}), measured(cysts={"percent": 1.99})),
    "R08": (measured(honeycombing={"percent": 1.99}), measured(honeycombing={"percent": 2})),
    "R11": (
        measured(honeycombing={"percent": 2, **SUBPLEURAL}),
        measured(honeycombing={"percent": 2, **SUBPLEURAL, "central_percent": 10.1}),
    ),
    "R12": (
        measured(honeycombing={"percent": 2, **BASAL}),
        measured(honeycombing={"percent": 1, **BASAL}),
    ),
    "R13": (
        measured(irregular={"percent": 5, **SUBPLEURAL}),
        measured(irregular={"percent": 4, **SUBPLEURAL}),
    ),
    "R14": (measured(irregular={"percent": 5, **BASAL}), measured(irregular={"percent": 5, **UPPER})),
    "R15": (measured(fibrosis={"percent": 5, **UPPER}), measured(fibrosis={"percent": 5, **BASAL})),
    "R16": (measured(rounded={"percent": 5, **UPPER}), measured(rounded={"percent": 5, **BASAL})),
    "R17": (
        measured(attenuation={"percent": 20.1}, fibrosis={"percent": 20}),
        measured(attenuation={"percent": 20}, fibrosis={"percent": 20}),
    ),
    "R21": (
        measured(honeycombing={"percent": 2, **SUBPLEURAL, **BASAL}),
        measured(honeycombing={"percent": 2, **SUBPLEURAL, **UPPER}),
    ),
    "R22": (
        measured(irregular={"percent": 5, **SUBPLEURAL, **BASAL}),
        measured(irregular={"percent": 5, **SUBPLEURAL, **BASAL}, honeycombing={"percent": 3}),
    ),
    "R23": (measured(fibrosis={"percent": 5, **UPPER}), measured(fibrosis={"percent": 4, **UPPER})),
    "R24": (
        measured(attenuation={"percent": 20.1}, fibrosis={"percent": 20}),
        measured(attenuation={"percent": 4}),
    ),
    "R25": (
        measured(emphysema={"percent": 5, "upper_percent": 5}, fibrosis={"lower_percent": 5}),
        measured(emphysema={"percent": 5, "upper_percent": 4.9}, fibrosis={"lower_percent": 5}),
    ),
}


def fired(features: dict[str, float | None]) -> set[str]:
    return {each.rule.id for each in infer(default_rules(), features)}


def test_every_rule_has_its_cases() -> None:
    assert [rule.id for rule in default_rules()] == list(CASES)


@pytest.mark.parametrize("number", CASES)
def test_a_rule_fires_where_it_must_and_not_where_it_must_not(number: str) -> None:
    firing, silent = CASES[number]
    assert number in fired(firing)
    assert number not in fired(silent)


@pytest.mark.parametrize("number", CASES)
def test_no_rule_fires_on_what_was_not_read(number: str) -> None:
    conditions = next(rule for rule in default_rules() if rule.id == number).conditions
    firing = CASES[number][0]
    for condition in conditions:
        for name in filter(None, (condition.feature, condition.other)):
            assert number not in fired({**firing, name: None})


@pytest.mark.parametrize(
    ("group", "percent"), [("honeycombing", 30), ("irregular", 30), ("rounded", 30), ("fibrosis", 30)]
)
def test_what_lies_in_the_middle_alone_predominates_nowhere(group: str, percent: float) -> None:
    """Nothing above and nothing below is no predominance, though 0 is one and a half times 0."""
    found = fired(measured(**{group: {"percent": percent, "middle_percent": 90.0}}))
    assert not found & {"R11", "R12", "R13", "R14", "R15", "R16", "R21", "R22", "R23"}


def test_the_order_of_rules_changes_nothing_that_follows() -> None:
    rules = list(default_rules())
    everything = CASES["R21"][0]
    expected = fired(everything)
    assert {"R01", "R11", "R12", "R21"} <= expected
    for seed in range(5):
        random.Random(seed).shuffle(rules)
        assert {each.rule.id for each in infer(rules, everything)} == expected


def test_the_trace_names_facts_features_and_values() -> None:
    trace = {entry["rule"]: entry for entry in expert_values(infer(default_rules(), CASES["R21"][0]))}
    assert trace["R01"]["because"] == ["honeycombing.percent 2.0 >= 2"]
    assert trace["R11"]["because"] == [
        "honeycombing",
        "honeycombing.subpleural_percent 15.0 >= 2",
        "honeycombing.subpleural_percent 15.0 >= 1.5 x honeycombing.central_percent 10.0",
    ]
    assert trace["R21"] == {
        "rule": "R21",
        "fact": "listed_for_uip",
        "because": ["honeycombing_subpleural", "honeycombing_basal"],
    }


def test_only_features_are_named_with_the_number_of_the_rule() -> None:
    for number, (firing, _) in CASES.items():
        lines = list(expert_lines(infer(default_rules(), firing)))
        assert any(line.endswith(f"[{number}]") for line in lines)
        assert all(line.startswith("Features present: ") for line in lines)
        assert not any(word in line.lower() for line in lines for word in ("diagnos", "disease", "consistent", "ipf"))


def test_features_are_the_shares_of_their_places() -> None:
    normal, basal = [[0, 0]], [[2, 2]]
    sections = [section(n, basal if n == 2 else normal, normal, height_mm=-10.0 * n) for n in range(3)]
    features = measure_features(extent_of(sections), parse_groups(None, PATTERNS))
    assert set(features) == set(FEATURES)
    assert features["honeycombing.lower_percent"] == 50
    assert features["honeycombing.right_percent"] == pytest.approx(100 / 3)
    assert features["honeycombing.upper_percent"] == 0
    assert features["honeycombing.central_percent"] == pytest.approx(100 / 6)
    assert features["honeycombing.subpleural_percent"] is None, "there is no subpleural lung in this one"
    assert features["rounded.percent"] is None, "the package has no such pattern"
    assert features["abnormal_percent"] == pytest.approx(100 / 6)


# --- form -------------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"id": "A1", "fact": "one", "says": "one thing", "when": [{"feature": "cysts.percent", "at_least": 3}]},
        {"id": "A2", "fact": "two", "says": "two things", "when": [{"fact": "one"}]},
    ],
}


def test_a_package_may_bring_rules_of_its_own() -> None:
    rules = parse_rules(GOOD)
    assert [each.rule.id for each in infer(rules, measured(cysts={"percent": 3}))] == ["A1", "A2"]
    assert infer(rules, NOTHING) == ()


def changed(*path: Any, to: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "version and rules"),
        ({"rules": GOOD["rules"]}, "version and rules"),
        ({**GOOD, "more": 1}, "version and rules"),
        (changed("version", to=2), "this node reads 1"),
        (changed("rules", to=[]), "no list, or an empty one"),
        (changed("rules", 0, to="A1"), "the keys are fact, id, says, when"),
        (changed("rules", 0, "else", to="x"), "the keys are fact, id, says, when"),
        (changed("rules", 1, "id", to="A1"), "id A1 is given twice"),
        (changed("rules", 1, "fact", to="one"), "fact one is given twice"),
        (changed("rules", 1, "when", to=[{"fact": "three"}]), "no rule concludes the fact three; known are one, two"),
        (changed("rules", 0, "says", to="consistent with UIP"), "names features that are present"),
        (changed("rules", 0, "says", to="a" * 101), "no plain text"),
        (changed("rules", 0, "says", to=7), "no plain text"),
        (changed("rules", 0, "says", to="蜂巣肺"), "no plain text"),
        (changed("rules", 0, "when", to=[]), "no list of conditions"),
        (changed("rules", 0, "when", to=[7]), "neither a fact nor made of"),
        (changed("rules", 0, "when", 0, "feature", to="nodule.percent"), "unknown feature 'nodule.percent'; known are"),
        (changed("rules", 0, "when", 0, "at_least", to="nodule.percent"), "unknown feature 'nodule.percent'"),
        (changed("rules", 0, "when", 0, "between", to=3), "neither a fact nor made of"),
        (changed("rules", 0, "when", 0, "below", to=3), "2 operators; one of at_least, above, at_most, below"),
        (changed("rules", 0, "when", to=[{"feature": "cysts.percent"}]), "0 operators"),
        (changed("rules", 0, "when", 0, "times", to=2), "times goes with another feature"),
        (changed("rules", 0, "when", 0, "at_least", to=True), "no number from 0 to 1000"),
        (changed("rules", 0, "when", 0, "at_least", to=-1), "no number from 0 to 1000"),
    ],
)
def test_rules_that_are_not_understood_are_refused_with_what_is_known(document: Any, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        parse_rules(document)
