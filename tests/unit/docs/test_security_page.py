# SPDX-License-Identifier: Apache-2.0
"""docs/security.md: every threat has tests that are there and are not switched off (IEC 81001-5-1, 5.7.2)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from service.settings import Settings

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
BOUNDARIES = {f"B{number}" for number in range(1, 8)}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| T\d+ .*$", PAGE, re.MULTILINE)
]
IDENTIFIER = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
CLAIMS = re.compile(r"\b(certified|compliant|cleared|approved by|FDA|CE mark|HIPAA|complies)\b", re.IGNORECASE)


@cache
def collected(file: str) -> frozenset[str]:
    """The tests that pytest would collect of a file, without those that are skipped whatever happens."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
    return frozenset(
        node.name for node in found if not any("mark.skip(" in ast.unparse(mark) for mark in node.decorator_list)
    )


def missing(cell: str) -> list[str]:
    """What a cell names that is not there; a cell that names nothing is missing everything."""
    named = IDENTIFIER.findall(cell)
    if not named:
        return ["every test"]
    return [f"{file}::{test}" for file, test in named if not (TESTS / file).is_file() or test not in collected(file)]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_threat_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 6
    assert set(row[1].split(", ")) <= set("STRIDE")
    assert set(row[2].split(", ")) <= BOUNDARIES
    assert missing(row[5]) == []


def test_threats_are_numbered_and_of_every_kind_at_every_boundary() -> None:
    assert [row[0] for row in ROWS] == [f"T{number:02d}" for number in range(1, len(ROWS) + 1)]
    assert {kind for row in ROWS for kind in row[1].split(", ")} == set("STRIDE")
    assert {place for row in ROWS for place in row[2].split(", ")} == BOUNDARIES


def test_a_test_that_is_not_there_is_found() -> None:
    assert missing("nothing at all") == ["every test"]
    gone = "unit/static/test_forbidden.py::test_of_yesterday"
    assert missing(f"`{gone}`") == [gone]
    assert missing("`unit/no_such_file.py::test_a`") == ["unit/no_such_file.py::test_a"]


@pytest.mark.parametrize("page", ["security.md", "mds2.md"])
def test_no_claim_of_conformity_or_clearance_is_made(page: str) -> None:
    text = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    assert CLAIMS.findall(text) == []
    assert "research software" in text.lower()


def test_what_is_said_of_deletion_is_what_the_node_can_do() -> None:
    """Both pages say that the node deletes nothing; they must be written anew with the day on which it does."""
    questionnaire = (TESTS.parent / "docs" / "mds2.md").read_text(encoding="utf-8")
    deletes = "retention" in Settings.model_fields
    assert ("Images and results are not deleted by the node" not in PAGE) == deletes
    assert ("| can delete it by itself after long-term storage | No |" not in questionnaire) == deletes
