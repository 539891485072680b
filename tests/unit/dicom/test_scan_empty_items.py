# SPDX-License-Identifier: Apache-2.0
"""Items without content are passed many at a time: what follows them must be read as if each had been looked at."""

import struct
from pathlib import Path

import pytest

from harness.raw import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED,
    body,
    element,
    head,
    implicit,
    implicit_body,
    item,
    part10,
    sequence,
)
from service.dicom.scan import Scanner
from service.domain.errors import AdmissionError
from service.domain.fault import Fault

PROCEDURES = 0x00081032
CODE_VALUE = 0x00080100
SCANNER = Scanner(["ProcedureCodeSequence", "ProcedureCodeSequence.CodeValue"])
WINDOW_ITEMS = 131_072 // 8

RUNS = {
    "none": b"",
    "one": item(),
    "many of defined length": item() * 50,
    "many of undefined length": item(length=UNDEFINED) * 50,
    "both in turn": (item() * 3 + item(length=UNDEFINED) * 2) * 7,
    "longer than the window of the scan": item() * (WINDOW_ITEMS + 3),
    "of undefined length, longer than the window": item(length=UNDEFINED) * (WINDOW_ITEMS // 2 + 3),
}


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("name", RUNS)
def test_the_item_after_a_run_is_read(tmp_path: Path, name: str, *, undefined: bool) -> None:
    content = RUNS[name] + item(element(CODE_VALUE, "SH", b"LAST")) + item()
    count = RUNS[name].count(head(0xFFFEE000, 0)) + RUNS[name].count(head(0xFFFEE000, UNDEFINED)) + 2
    data_set = body(sequence(PROCEDURES, content, undefined=undefined), at=0x00090000)
    found = SCANNER.scan(part10(tmp_path / "object.dcm", data_set, syntax=EXPLICIT))
    assert found["ProcedureCodeSequence.CodeValue"] == "LAST"
    assert found["ProcedureCodeSequence"] == count
    assert found["PatientID"] == "SECRETID", "what follows the sequence is read, too"


def test_a_run_ends_where_its_sequence_ends(tmp_path: Path) -> None:
    """Two empty items of an inner sequence and three of the outer one lie side by side; full ones count the same."""

    def items(content: bytes) -> object:
        inner = sequence(0x00400008, item(content) * 2)
        outer = sequence(PROCEDURES, item(inner) + item(content) * 3)
        return SCANNER.scan(part10(tmp_path / "object.dcm", body(outer, at=0x00090000)))["ProcedureCodeSequence"]

    assert items(b"") == items(element(0x00080104, "LO", b"MEANING "))


def test_a_run_is_cut_by_the_end_of_an_item_that_claims_less(tmp_path: Path) -> None:
    """A sequence whose length ends within a run: the rest is no item of it, and no element either."""
    content = item() * 10
    cut = implicit(PROCEDURES, content)[:4] + (4 * 8).to_bytes(4, "little") + content
    with pytest.raises(AdmissionError) as caught:
        SCANNER.scan(part10(tmp_path / "object.dcm", implicit_body(cut, at=0x00090000), syntax=IMPLICIT))
    assert caught.value.fault is Fault.DELIMITER


def test_a_run_in_big_endian_is_known(tmp_path: Path) -> None:
    run = struct.pack(">HHI", 0xFFFE, 0xE000, 0) * 9
    last = element(CODE_VALUE, "SH", b"LAST", order=">")
    content = run + struct.pack(">HHI", 0xFFFE, 0xE000, len(last)) + last
    data_set = body(element(PROCEDURES, "SQ", content, order=">"), at=0x00090000, order=">")
    found = SCANNER.scan(part10(tmp_path / "object.dcm", data_set, syntax=BIG_ENDIAN))
    assert (found["ProcedureCodeSequence"], found["ProcedureCodeSequence.CodeValue"]) == (10, "LAST")
