# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does: tables are generated, links lead somewhere, tests that are named exist."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.cli.app import app
from service.results.lint.rules import RULES
from service.transport.sop_classes import INPUT_SOP_CLASSES
from tests.conformance.attributes import groups
from tests.conformance.examples import contexts, examples
from tests.conformance.generated import explained, filled, names_in, table
from tests.conformance.pages import GROUPS, PAGES, ROOT, TABLES, renewed

CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()
NAMED_TEST = re.compile(r"\b((?:unit|integration)/[a-z/_0-9]+\.py)(?:::(test_[a-z0-9_]+))?")


@pytest.fixture(scope="module")
def pages() -> Mapping[Path, str]:
    return renewed()


def test_every_table_says_what_the_code_does(pages: Mapping[Path, str]) -> None:
    stale = [page.name for page, text in pages.items() if page.read_text() != text]
    assert stale == [], "write the tables anew: python -m tests.conformance"


def test_a_table_that_says_something_else_is_found(pages: Mapping[Path, str]) -> None:
    """The guard above does guard: a status that is changed by hand does not survive."""
    wrong = CONFORMANCE.replace("| 0xA700 | out of resources", "| 0xA701 | out of resources")
    assert wrong != CONFORMANCE
    assert filled(wrong, TABLES) == pages[ROOT / "docs" / "conformance.md"]


def test_every_table_stands_in_one_place() -> None:
    asked = [name for page in PAGES for name in names_in(page.read_text())]
    assert sorted(asked) == sorted(TABLES)


def test_a_mark_without_a_table_is_refused() -> None:
    with pytest.raises(KeyError, match="'dance'"):
        filled("<!-- generated: dance -->\n<!-- end -->", TABLES)


def test_a_code_without_a_text_and_a_text_without_a_code_are_refused() -> None:
    assert explained({1: "one", 2: "two"}, [2, 1], what="numbers") == [(2, "two"), (1, "one")]
    with pytest.raises(ValueError, match=r"no text for \[3\]"):
        explained({1: "one"}, [1, 3], what="numbers")
    with pytest.raises(ValueError, match=r"for texts of \[1\]"):
        explained({1: "one"}, [], what="numbers")


def test_cells_keep_a_table_whole() -> None:
    assert table(("a", "b"), [("1 | 2", "3\n4")]) == "| a | b |\n|---|---|\n| 1 \\| 2 | 3 4 |\n"


def test_the_examples_are_of_every_kind_of_object() -> None:
    assert set(GROUPS.values()) == set(groups())
    assert set(RULES) == {item.entry.sop_class_uid for item in examples()}


def test_the_sop_classes_are_those_that_the_node_accepts() -> None:
    section = CONFORMANCE.split("#### SOP classes\n")[1].split("\n#")[0]
    assert set(re.findall(r"\| ([0-9.]+) \|", section)) == set(INPUT_SOP_CLASSES)


def test_results_are_proposed_uncompressed_alone() -> None:
    """Decision 12: no transfer syntax of a picture can be configured."""
    rows = [line.split(" | ") for line in contexts().splitlines()[2:]]
    assert {row[3] for row in rows if row[0] == "| results are sent"} == {
        "Explicit VR Little Endian, Implicit VR Little Endian"
    }


def test_the_tests_that_are_named_exist() -> None:
    named = [found for page in PAGES for found in NAMED_TEST.findall(page.read_text())]
    assert len(named) > 20
    for path, name in named:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", document.read_text()):
        place = document.parent / target if target else document
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_documents_name_no_command_that_is_not_there() -> None:
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    texts = [path.read_text() for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "operations.md")]
    texts += [page.read_text() for page in PAGES]
    told = {name for text in texts for name in re.findall(r"`(?:[^`]*/)?dokuei ([a-z]+)", text)}
    assert told
    assert told <= known
