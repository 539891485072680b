# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from service.cli.app import app
from service.dicom.pixels import TRANSFER_SYNTAXES
from service.results.lint.rules import RULES
from service.transport.dicomweb.store_response import TRANSFER_SYNTAX_NOT_SUPPORTED
from service.transport.sop_classes import INPUT_SOP_CLASSES
from service.transport.statuses import PROCESSING_FAILURE, SOP_CLASS_NOT_SUPPORTED, STORE_STATUS, SUCCESS
from service.workflow.commit import ASK_AGAIN, PERMANENT_REASONS
from service.workflow.promise import CLASS_INSTANCE_CONFLICT, NO_SUCH_OBJECT
from service.workflow.promise import PROCESSING_FAILURE as PROCESSING_FAILURE_REASON
from service.workflow.slots import PERMANENT_STATUSES, is_permanent, is_taken

ROOT = Path(__file__).parents[3]
CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()


def section(title: str) -> str:
    return CONFORMANCE.split(f"### {title}\n")[1].split("\n#")[0]


def uids(text: str) -> set[str]:
    return set(re.findall(r"\| ([0-9.]+) \|", text))


def test_the_sop_classes_are_those_that_the_node_accepts() -> None:
    assert uids(section("SOP classes")) == set(INPUT_SOP_CLASSES)


def test_the_transfer_syntaxes_are_those_that_the_node_decodes() -> None:
    assert uids(section("Transfer syntaxes")) == set(TRANSFER_SYNTAXES)


def test_every_kind_of_result_is_told_of() -> None:
    assert set(RULES) <= uids(CONFORMANCE.split("## Results\n")[1].split("\n### ")[0])


def test_the_store_statuses_are_those_that_the_node_answers() -> None:
    told = {int(status, 16) for status in re.findall(r"\| 0x([0-9A-F]{4}) \|", section("C-STORE status codes"))}
    assert told == set(STORE_STATUS.values()) | {PROCESSING_FAILURE}


def test_the_answers_to_c_store_are_treated_as_told() -> None:
    rows = dict(re.findall(r"\| (0x0.*?) \| (.*?) \|", section("Delivery")))
    stored, duplicate, held = (key for key, text in rows.items() if text.startswith(("stored", "offered")))
    assert all(is_taken(int(status, 16)) for status in re.findall(r"0x[0-9A-F]{4}", f"{stored} {duplicate}"))
    assert {int(status, 16) for status in re.findall(r"0x[0-9A-F]{4}", held)} == PERMANENT_STATUSES
    assert all(is_permanent(status) for status in (0xA900, 0xA9FF, 0xC000, 0xCFFF))


def test_the_failure_reasons_of_storage_commitment_are_treated_as_told() -> None:
    asked, held = (
        {int(reason, 16) for reason in re.findall("0x[0-9A-F]{4}", row)}
        for row in re.findall(r"\| Failure Reason (.*?) \| (?:asked|the same)", section("Storage commitment, as SCU"))
    )
    assert (asked, held) == (ASK_AGAIN, PERMANENT_REASONS)
    told = {
        int(reason, 16)
        for reason in re.findall(r"^\| (0x[0-9A-F]{4})", section("Storage commitment, as SCP"), re.MULTILINE)
    }
    assert told == {PROCESSING_FAILURE_REASON, NO_SUCH_OBJECT, CLASS_INSTANCE_CONFLICT}


def test_the_failure_reasons_of_stow_are_those_that_the_node_gives() -> None:
    told = {int(reason, 16) for reason in re.findall(r"\| 0x([0-9A-F]{4}) \|", section("STOW-RS failure reasons"))}
    failures = set(STORE_STATUS.values()) - {SUCCESS}
    assert told == failures | {PROCESSING_FAILURE, SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED}


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_documents_name_no_command_that_is_not_there() -> None:
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    texts = [path.read_text() for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "operations.md")]
    told = {name for text in texts for name in re.findall(r"`(?:[^`]*/)?dokuei ([a-z]+)", text)}
    assert told
    assert told <= known
