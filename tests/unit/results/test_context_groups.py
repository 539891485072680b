# SPDX-License-Identifier: Apache-2.0
"""The codes that CAD reports use are members of the groups that the templates ask for."""

import re

import pytest

from service.codes import CodeEntry, private, sct, table
from service.results.lint.cad import FORMS
from service.results.report.cad_parts import INTENTS, STATUSES, SUMMARIES
from service.results.report.chest_cad import LOCATIONS, MODIFIED_BY, SUBJECTS
from service.results.report.context_groups import ADDED_CHEST_MODIFIERS, as_member, is_member, members
from service.results.report.mammography_cad import RELATIONS

WHOLE = [code for by_findings in SUMMARIES.values() for code in by_findings.values()]
STATED = [entry for entry in table().values() if re.fullmatch(r"CID \d+", entry.basis)]
IN_NO_TABLE = {f"CID {number}" for number in (29, 219, 240, 270, 6027, 7001, 7150, 7162, 7202)}
"""Groups of other reports, which pydicom knows by other editions or codes."""


@pytest.mark.parametrize(
    "entry", [each for each in STATED if each.basis not in IN_NO_TABLE], ids=lambda entry: entry.code.value
)
def test_each_code_is_in_the_group_that_the_table_says(entry: CodeEntry) -> None:
    assert is_member(entry.code, int(entry.basis.removeprefix("CID ")))


def test_what_reports_say_is_in_its_group() -> None:
    said = {6034: INTENTS.values(), 6042: STATUSES.values(), 6047: WHOLE, 6035: RELATIONS.values()}
    assert [(cid, code) for cid, codes in said.items() for code in codes if not is_member(code, cid)] == []
    assert all(is_member(code, 6124) for code in LOCATIONS.values())
    assert all(is_member(code, 6102) for code in SUBJECTS.values())
    assert all(("DCM", value) in members(6101) for value in ADDED_CHEST_MODIFIERS.values())
    assert all(("DCM", value) in members(6101) for _, value in MODIFIED_BY)


def test_every_summary_and_status_is_used() -> None:
    """No state of the standard is left that a report could not say."""
    assert {(code.scheme, code.value) for code in WHOLE} == members(6047)
    assert {(code.scheme, code.value) for code in STATUSES.values()} == members(6042)


def test_additions_are_not_in_the_standard_already() -> None:
    subgroups = (6103, 6104, 6105, 6106, 6108)
    assert [added for added in ADDED_CHEST_MODIFIERS if any(is_member(added, cid) for cid in subgroups)] == []


def test_every_group_that_rules_ask_for_exists() -> None:
    for form in FORMS.values():
        for cids in form.groups.values():
            assert all(members(cid) for cid in cids)


def test_codes_outside_are_outside() -> None:
    assert not is_member(sct("40122008"), 6102)
    assert not is_member(private("SCORE"), 6014)
    with pytest.raises(KeyError, match="CID 999999 is not in pydicom's tables"):
        members(999999)


def test_retired_codes_are_taken_for_what_they_mean() -> None:
    view = as_member("SRT", "R-10242", 4014)
    assert view is not None
    assert (view.scheme, view.value, view.meaning) == ("SCT", "399162004", "cranio-caudal")
    assert as_member("SRT", "T-04000", 4014) is None
