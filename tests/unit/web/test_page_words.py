# SPDX-License-Identifier: Apache-2.0
"""Every sentence of the page is there in Japanese, says the same things, and is said somewhere."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2 import nodes

import service.web
from service.domain.entry import CommitmentState, DeliveryState, JobState
from service.domain.fault import Fault
from service.domain.fetch import FetchOutcome
from service.domain.quarantine import CONFLICT, POISON
from service.domain.result import PackageStatus
from service.ports.drift import DriftMode
from service.ports.status_page import GoldenState
from service.settings.results import Language
from service.web import site, states
from service.web.japanese import JAPANESE
from service.web.words import say_in

ROOM = Path(service.web.__file__).parent
PLACE = re.compile(r"\{(\w+)\}")
TABLES: list[tuple[dict[Any, Any], type[StrEnum]]] = [
    (states.JOBS, JobState),
    (states.JOB_TONES, JobState),
    (states.DELIVERIES, DeliveryState),
    (states.DELIVERY_TONES, DeliveryState),
    (states.COMMITMENTS, CommitmentState),
    (states.FETCHES, FetchOutcome),
    (states.FETCH_TONES, FetchOutcome),
    (states.GOLDEN, GoldenState),
    (states.GOLDEN_TONES, GoldenState),
    (states.DRIFTS, DriftMode),
    (states.DRIFT_TONES, DriftMode),
]


def from_tables() -> Iterator[str]:
    """Sentences that are looked up."""
    for table in (states.JOBS, states.DELIVERIES, states.CLOSED, states.COMMITMENTS, states.GOLDEN, states.ROLES):
        yield from table.values()
    yield from states.DRIFTS.values()
    yield from states.FETCHES.values()
    yield from states.CIRCUITS
    yield states.UNKNOWN_REMEDY
    for words in states.SET_ASIDE.values():
        yield from words
    yield from site.PROBLEMS.values()
    yield from (status.value for status in PackageStatus)


def from_templates() -> Iterator[str]:
    environment = jinja2.Environment(autoescape=True)
    for path in (ROOM / "templates").glob("*.html"):
        for call in environment.parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t" and isinstance(call.args[0], nodes.Const):
                yield call.args[0].value


def from_code() -> Iterator[str]:
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {
                "say",
                "_say",
            }:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value
            if isinstance(node, ast.Dict) and path.name == "timeline.py":  # titles by state of a notification
                yield from (item.elts[0].value for item in node.values if isinstance(item, ast.Tuple))  # type: ignore[attr-defined, misc]


SAID = {*from_tables(), *from_templates(), *from_code()}


def test_no_sentence_is_missing_in_japanese() -> None:
    assert len(SAID) > 150
    assert SAID - set(JAPANESE) == set()


def test_no_sentence_is_there_that_nobody_says() -> None:
    assert set(JAPANESE) - SAID == set()


@pytest.mark.parametrize("sentence", sorted(JAPANESE))
def test_both_languages_have_the_same_places(sentence: str) -> None:
    assert sorted(PLACE.findall(JAPANESE[sentence])) == sorted(PLACE.findall(sentence))


@pytest.mark.parametrize(("table", "members"), TABLES)
def test_every_state_has_words(table: dict[Any, Any], members: type[StrEnum]) -> None:
    assert set(table) == set(members)


def test_every_reason_of_the_quarantine_has_a_remedy() -> None:
    assert set(states.SET_ASIDE) == {*(fault.value for fault in Fault), CONFLICT, POISON}


def test_values_are_never_taken_for_sentences() -> None:
    assert say_in(Language.ENGLISH)("rule '{rule}'", rule="{0.__class__}") == "rule '{0.__class__}'"
    assert say_in(Language.JAPANESE)("{odd} name") == "{odd} name"
