# SPDX-License-Identifier: Apache-2.0
"""A labels file is read whole, or refused with every fault at once."""

import pytest

from models.data.labels import COLUMNS, read_labels
from models.data.problem import LabelsError

GOOD = {"sop_uid": "1.2.3", "patient_id_hash": "abcd1234", "target": "dust", "label": "1"}


def problems(path):
    with pytest.raises(LabelsError) as caught:
        read_labels(path)
    return caught.value.problems


def test_a_row_is_read_with_its_line_and_types(write_labels):
    row = {**GOOD, "confidence": "0.5", "laterality": "r", "ilo_profusion": "1/0", "icoerd_ggo": "2"}
    (line,) = read_labels(write_labels([row]))
    assert (line.number, line.row.confidence, line.row.laterality) == (2, 0.5, "R")
    assert line.free == {"icoerd_ggo": "2"}
    assert line.row.key == ("sop_uid", "1.2.3")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("sop_uid", "1.2.x", "pattern"),
        ("patient_id_hash", "Smith^John", "pattern"),
        ("patient_id_hash", "1234567", "pattern"),
        ("confidence", "1.5", "less than or equal to 1"),
        ("confidence", "high", "valid number"),
        ("laterality", "X", "'L', 'R', 'B' or 'U'"),
        ("x_mm", "nan", "finite"),
        ("diameter_mm", "0", "greater than 0"),
        ("mask_path", "../other/mask.png", "without '..'"),
        ("mask_path", "/etc/passwd", "below the folder"),
        ("ilo_profusion", "4/4", "12-point"),
        ("reading_minutes", "-1", "greater than or equal to 0"),
        ("arrival_time", "yesterday", "valid datetime"),
        ("pixel_size_mm", "0", "greater than 0"),
        ("split", "validation", "'train', 'tuning' or 'test'"),
    ],
)
def test_a_bad_cell_is_named_with_line_column_value_rule_and_remedy(write_labels, column, value, rule):
    fine = {**GOOD, column: GOOD.get(column, "")}
    (problem,) = problems(write_labels([fine, {**GOOD, "sop_uid": "1.2.4", column: value}]))
    assert (problem.line, problem.column, problem.value) == (3, column, value)
    assert rule in problem.rule
    assert problem.remedy
    assert str(problem).startswith(f"line 3, column '{column}', value '{value}': ")


def test_all_faults_are_named_at_once(write_labels):
    rows = [
        {**GOOD, "confidence": "2", "split": "train"},
        {**GOOD, "sop_uid": "", "confidence": "1", "split": ""},
        {**GOOD, "label": "", "confidence": "x", "split": "old"},
    ]
    found = [(problem.line, problem.column) for problem in problems(write_labels(rows))]
    assert found == [(2, "confidence"), (3, "sop_uid"), (4, "label"), (4, "confidence"), (4, "split")]


def test_columns_that_are_unknown_missing_or_double_are_named(write_labels, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("sop_uid,patient_id_hash,label,label,colour\n", encoding="utf-8")
    told = {(problem.column, problem.rule) for problem in problems(path)}
    assert {("colour", "no column of labels.csv"), ("label", "given twice"), ("target", "required, and absent")} <= told
    path.write_text("patient_id_hash,target,label\n", encoding="utf-8")
    assert "one of sop_uid, series_uid, study_uid, file is required" in str(problems(path)[0])


def test_a_line_with_a_cell_too_many_or_too_few_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "sop_uid,patient_id_hash,target,label\n1.2,abcd1234,dust,1,1\n1.3,abcd1234,dust\n", encoding="utf-8"
    )
    assert [(problem.line, problem.rule) for problem in problems(path)] == [
        (2, "as many cells as columns"),
        (3, "as many cells as columns"),
    ]


def test_one_reader_cannot_say_two_things(write_labels):
    (problem,) = problems(write_labels([GOOD, {**GOOD, "label": "0"}]))
    assert "line 2 says '1' of the same image" in problem.rule


def test_two_readers_may_and_so_may_two_places(write_labels):
    rows = [
        {**GOOD, "reader": "a", "x_mm": "1"},
        {**GOOD, "reader": "b", "x_mm": "1", "label": "0"},
        {**GOOD, "reader": "a", "x_mm": "2"},
    ]
    assert len(read_labels(write_labels(rows))) == 3


def test_an_image_has_one_patient(write_labels):
    rows = [GOOD, {**GOOD, "target": "other", "patient_id_hash": "zzzz9999"}]
    (problem,) = problems(write_labels(rows))
    assert (problem.column, problem.line) == ("patient_id_hash", 3)


def test_another_encoding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("sop_uid,patient_id_hash,target,label\n1.2,abcd1234,じん肺,1\n".encode("shift_jis"))
    (problem,) = problems(path)
    assert (problem.line, problem.rule) == (2, "UTF-8")


def test_a_byte_order_mark_is_taken(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffsop_uid,patient_id_hash,target,label\n1.2,abcd1234,じん肺,1\n", encoding="utf-8")
    assert read_labels(path)[0].row.target == "じん肺"


def test_the_columns_are_those_of_the_specification():
    named = (
        "sop_uid series_uid study_uid patient_id_hash target label reader confidence site manufacturer laterality view"
    )
    placed = "x_mm y_mm z_mm diameter_mm mask_path ilo_profusion exclude_reason reading_minutes arrival_time"
    assert {*named.split(), *placed.split()} <= set(COLUMNS)
