# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import ConfigurationError
from service.domain.instance import Instance
from service.settings import Condition, RuleSettings, Settings
from service.workflow.rules import (
    check_keywords,
    could_match,
    explain,
    keywords,
    lines,
    matching_rules,
    verdicts,
    wanted_pipelines,
)


def instance(**attributes: Any) -> Instance:
    return Instance(
        sop_instance_uid="1",
        sop_class_uid="1",
        study_instance_uid="1",
        series_instance_uid="1",
        transfer_syntax_uid="1",
        path=Path("x"),
        sha256="",
        size_bytes=0,
        attributes=attributes,
    )


@pytest.mark.parametrize(
    ("condition", "attributes", "holds"),
    [
        ({"attribute": "Modality", "equals": "ct"}, {"Modality": "CT"}, True),
        ({"attribute": "Modality", "equals": "CT"}, {"Modality": "MR"}, False),
        ({"attribute": "Modality", "equals": "CT"}, {}, False),
        ({"attribute": "Modality", "equals": "CT"}, {"Modality": None}, False),
        ({"attribute": "ImageType", "equals": "axial"}, {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, True),
        ({"attribute": "Rows", "equals": 512}, {"Rows": 512}, True),
        ({"attribute": "Rows", "equals": 512}, {"Rows": "512"}, True),
        ({"attribute": "Rows", "equals": 512}, {"Rows": "many"}, False),
        ({"attribute": "Modality", "in": ["CR", "DX"]}, {"Modality": "dx"}, True),
        ({"attribute": "Modality", "in": ["CR", "DX"]}, {"Modality": "CT"}, False),
        ({"attribute": "BodyPartExamined", "regex": "^chest"}, {"BodyPartExamined": "CHESTABDOMEN"}, True),
        ({"attribute": "BodyPartExamined", "regex": "^chest$"}, {"BodyPartExamined": "CHESTABDOMEN"}, False),
        ({"attribute": "SliceThickness", "range": [0.5, 2.0]}, {"SliceThickness": 2.0}, True),
        ({"attribute": "SliceThickness", "range": [0.5, 2.0]}, {"SliceThickness": 2.01}, False),
        ({"attribute": "SliceThickness", "range": [0.5, 2.0]}, {"SliceThickness": "thin"}, False),
        ({"attribute": "Laterality", "present": True}, {"Laterality": "L"}, True),
        ({"attribute": "Laterality", "present": True}, {"Laterality": None}, False),
        ({"attribute": "Laterality", "present": False}, {}, True),
        ({"not": {"attribute": "Modality", "equals": "CT"}}, {"Modality": "CT"}, False),
        ({"all": [{"attribute": "A", "present": True}, {"attribute": "B", "present": True}]}, {"A": 1}, False),
        ({"any": [{"attribute": "A", "present": True}, {"attribute": "B", "present": True}]}, {"A": 1}, True),
        ({"attribute": "ViewCodeSequence.CodeValue", "equals": "R-10242"},
         {"ViewCodeSequence.CodeValue": "R-10242"}, True),
    ],
)  # fmt: skip
def test_a_condition(condition: dict[str, Any], attributes: dict[str, Any], holds: bool) -> None:
    assert explain(Condition.model_validate(condition), instance(**attributes)).holds is holds


leaves = st.builds(
    lambda name, value: {"attribute": name, "equals": value}, st.sampled_from("ABC"), st.sampled_from("xyz")
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda part: {"not": part}, inner)
        | st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=8,
)
objects = st.fixed_dictionaries({}, optional={name: st.sampled_from("xyz") for name in "ABC"})


def reference(condition: dict[str, Any], attributes: dict[str, str]) -> bool:
    if "attribute" in condition:
        return attributes.get(condition["attribute"]) == condition["equals"]
    if "not" in condition:
        return not reference(condition["not"], attributes)
    parts = [reference(part, attributes) for part in condition.get("all", condition.get("any", ()))]
    return all(parts) if "all" in condition else any(parts)


@given(conditions, objects)
def test_nested_conditions_agree_with_the_plain_reading(condition: dict[str, Any], attributes: dict[str, str]) -> None:
    parsed = Condition.model_validate(condition)
    assert explain(parsed, instance(**attributes)).holds is reference(condition, attributes)


@given(conditions, objects)
def test_not_turns_every_outcome_round(condition: dict[str, Any], attributes: dict[str, str]) -> None:
    image = instance(**attributes)
    plain, turned = Condition.model_validate(condition), Condition.model_validate({"not": condition})
    assert explain(plain, image).holds is not explain(turned, image).holds


@given(conditions, objects, st.sets(st.sampled_from("ABC")))
def test_what_could_match_is_what_some_image_with_these_attributes_matches(
    condition: dict[str, Any], attributes: dict[str, str], known: set[str]
) -> None:
    """Of what is not known, anything may be: no condition that holds for the image is called impossible."""
    said = {name: value for name, value in attributes.items() if name in known}
    if reference(condition, attributes):
        assert could_match(Condition.model_validate(condition), said)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"Modality": "CT"}, True),
        ({"Modality": "CT", "BodyPartExamined": "chest"}, True),
        ({"Modality": "CT", "BodyPartExamined": "HEAD"}, False),
        ({"Modality": "MR"}, False),
        ({}, True),
    ],
)
def test_what_an_archive_says_of_a_series_may_be_enough(said: dict[str, str], wanted: bool) -> None:
    (rule,) = (rule for rule in Settings().rules if rule.name == "chest-ct")
    assert could_match(rule.when, said) is wanted
    assert could_match(Condition.model_validate({"not": {"not": rule.when}}), said) is wanted


def test_the_explanation_names_rule_and_actual_value() -> None:
    rules = Settings().rules
    verdict = next(verdict for verdict in verdicts(rules, instance(Modality="US")) if verdict.rule.name == "chest-ct")
    text = "\n".join(lines(verdict.explanation))
    assert not verdict.holds
    assert "✗ Modality equals 'CT' (is 'US')" in text
    assert "✗ BodyPartExamined matches 'CHEST|THORAX|LUNG' (is empty or absent)" in text


@pytest.mark.parametrize(
    ("attributes", "pipelines"),
    [
        ({"Modality": "DX", "BodyPartExamined": "CHEST"}, ("pneumoconiosis",)),
        ({"Modality": "CR"}, ("pneumoconiosis",)),
        ({"Modality": "DX", "BodyPartExamined": "HAND"}, ()),
        ({"Modality": "CT", "BodyPartExamined": "Thorax"}, ("diffuse_lung",)),
        ({"Modality": "MG"}, ("mammography",)),
        ({"Modality": "US"}, ()),
    ],
)
def test_the_default_rules(attributes: dict[str, Any], pipelines: tuple[str, ...]) -> None:
    assert wanted_pipelines(matching_rules(Settings().rules, [instance(**attributes)])) == pipelines


def test_a_rule_on_an_unknown_attribute_is_refused() -> None:
    rule = {"name": "r", "when": {"attribute": "BodyPart", "equals": "CHEST"}, "pipelines": ["p"]}
    with pytest.raises(ConfigurationError, match=r"'r' looks at attribute 'BodyPart'"):
        check_keywords([RuleSettings.model_validate(rule)])
    check_keywords(Settings().rules)


def test_every_attribute_of_the_rules_is_listed() -> None:
    assert keywords(Settings().rules) == {"Modality", "BodyPartExamined"}
