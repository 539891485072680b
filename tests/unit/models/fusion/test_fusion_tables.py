# SPDX-License-Identifier: Apache-2.0
"""Tables are read as written, missing values stay missing, and nothing is learnt from rows that are held out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the optional extra `train`")

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.stats import fisher_exact
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from models.fusion.attributes import age_years, attribute_rows
from models.fusion.evaluation import split_patients
from models.fusion.missingness import missingness
from models.fusion.preparation import UNSEEN_CODE, prepare
from models.fusion.table import Roles, Table, join, make_table, read_rows

ROLES = Roles(target="ill", patient="PatientID", study="StudyInstanceUID")


def _table(**columns: Any) -> Table:
    count = len(next(iter(columns.values())))
    rows = [
        {"PatientID": f"P{index}", "StudyInstanceUID": str(index), "ill": str(index % 2)}
        | {name: values[index] for name, values in columns.items()}
        for index in range(count)
    ]
    return make_table(rows, ROLES)


@pytest.mark.parametrize(
    ("text", "years"), [("045Y", 45), ("018M", 1.5), ("010W", 70 / 365.25), ("003D", 3 / 365.25), ("45.5", 45.5)]
)
def test_ages_are_years(text: str, years: float) -> None:
    assert age_years(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["45YY", "Y045", "-3", "400", "abc", "inf"])
def test_no_ages_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\(0010,1010\) 'Patient's Age' value"):
        age_years(text)


def test_columns_are_typed_by_their_values_and_dicom_columns_by_the_standard() -> None:
    table = _table(
        fev1=["2.5", "", "NA", "3"],
        grade=["high", "low", "?", "low"],
        PatientAge=["045Y", "018M", "", "50"],
        SmokingStatus=["YES", "UNKNOWN", "NO", ""],
        PatientSex=["1", "2", "1", "2"],
    )
    np.testing.assert_array_equal(table.numbers["fev1"], [2.5, math.nan, math.nan, 3])
    np.testing.assert_array_equal(table.numbers["PatientAge"], [45, 1.5, math.nan, 50])
    assert table.words["grade"].tolist() == ["high", "low", "", "low"]
    assert table.words["SmokingStatus"].tolist() == ["YES", "", "NO", ""]
    assert set(table.words) == {"grade", "SmokingStatus", "PatientSex"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"PatientAge": ["old", "45"]}, "value 'old' is no age"),
        ({"x": ["inf", "1"]}, "column 'x' has an infinite value"),
        ({"name": [f"n{index}" for index in range(40)]}, "'name' has more than 30 different words"),
    ],
)
def test_wrong_columns_are_named(columns: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _table(**columns)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"PatientID": "1", "x": "1"}], "no column 'ill'; there are PatientID, x"),
        ([{"PatientID": "1", "ill": "2", "x": "1"}], "target 'ill' has the value '2'; it must be 0 or 1"),
        ([{"PatientID": "1", "ill": "1", "x": "1"}], "target 'ill' is 1 in every row"),
        ([{"PatientID": "", "ill": "1", "x": "1"}], "column 'PatientID' is empty in some rows"),
        ([{"PatientID": "1", "ill": "1"}], "no column is left as an input"),
    ],
)
def test_wrong_tables_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_table(rows, ROLES)


def test_files_are_joined_by_study_and_absent_studies_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("StudyInstanceUID,PatientID,ill\n1,P1,0\n2,P2,1\n")
    (tmp_path / "b.csv").write_text("\ufeffStudyInstanceUID,fibrosis\n2, 7 \n9,1\n", encoding="utf-8")
    rows = join(read_rows(tmp_path / "a.csv"), read_rows(tmp_path / "b.csv"), key="StudyInstanceUID", where="b.csv")
    assert [row["fibrosis"] for row in rows] == ["", "7"]
    twice = [{"StudyInstanceUID": "1", "x": "1"}] * 2
    with pytest.raises(ValueError, match="b: 'StudyInstanceUID' is there more than once"):
        join(rows, twice, key="StudyInstanceUID", where="b")
    with pytest.raises(ValueError, match="b: column 'ill' is in the first file too"):
        join(rows, [{"StudyInstanceUID": "1", "ill": "1"}], key="StudyInstanceUID", where="b")
    with pytest.raises(ValueError, match="both files need the column 'Accession'"):
        join(rows, rows, key="Accession", where="b")
    for text, message in (
        ("a,a\n1,2\n", "name every column once"),
        ("a,b\n1\n", "line 2: 1 values"),
        ("a\n", "no rows"),
    ):
        (tmp_path / "wrong.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_rows(tmp_path / "wrong.csv")


def test_inputs_are_scikit_learns_with_means_for_missing_values() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=40)
    words = rng.choice(["a", "b", "c"], size=40)
    gone = rng.uniform(size=40) < 0.3
    table = _table(x=["" if absent else f"{value:.6f}" for value, absent in zip(x, gone, strict=True)], w=words)
    preparation = prepare(table)
    known = np.round(x, 6)
    filled = np.where(gone, known[~gone].mean(), known)
    hot = OneHotEncoder(sparse_output=False).fit_transform(words[:, None])
    expected = StandardScaler().fit_transform(np.column_stack([filled, gone, hot]))
    assert [each.name for each in preparation.inputs] == ["x", "x missing", "w=a", "w=b", "w=c"]
    np.testing.assert_allclose(preparation.transform(table), expected, atol=1e-9)


def test_of_two_words_the_second_has_an_input_and_missing_has_its_own() -> None:
    table = _table(PatientSex=["M", "F", "F", "M", ""], grade=["a", "b", "a", "b", "a"])
    assert [each.name for each in prepare(table).inputs] == ["PatientSex=M", "PatientSex missing", "grade=b"]


def test_nothing_is_learnt_from_held_out_rows() -> None:
    training = _table(x=["1", "2", "", "3"], w=["a", "b", "a", "b"])
    held_out = _table(x=["1000", "", "-1000", "5"], w=["z", "a", "", "b"])
    preparation = prepare(training)
    assert preparation.means == {"x": 2.0}
    found = preparation.transform(held_out)
    assert found[1, 0] == pytest.approx((2.0 - preparation.centres[0]) / preparation.scales[0])
    assert preparation.unseen(held_out) == {"w": 1}
    assert preparation.encode(held_out)[:, 1].tolist()[:2] == [UNSEEN_CODE, 0.0]
    assert math.isnan(preparation.encode(held_out)[2, 1])


def test_columns_without_values_are_refused() -> None:
    with pytest.raises(ValueError, match="column 'x' has no value in any training row"):
        prepare(_table(x=["", "", ""], y=["1", "2", "3"]))
    with pytest.raises(ValueError, match="column 'w' has no value in any training row"):
        prepare(
            make_table(
                [{"PatientID": "1", "ill": str(i), "PatientSex": "", "w": ""} for i in (0, 1)],
                Roles(
                    target="ill",
                    patient="PatientID",
                    study="s",
                    as_words=frozenset({"w"}),
                    left_out=frozenset({"PatientSex"}),
                ),
            )
        )


def test_values_missing_in_the_ill_alone_are_a_warning() -> None:
    rng = np.random.default_rng(1)
    ill = np.arange(100) % 2 == 1
    chance = rng.uniform(size=100)
    table = _table(
        biopsy=["" if sick != (draw < 0.1) else "1.5" for sick, draw in zip(ill, chance, strict=True)],
        weight=["" if draw < 0.2 else "70" for draw in rng.uniform(size=100)],
    )
    found = {each.column: each for each in missingness(table)}
    assert found["biopsy"].suspicious
    assert not found["weight"].suspicious
    assert "not missing at random" in found["biopsy"].warning()
    gone = np.isnan(table.numbers["biopsy"])
    counts = [[(gone & ill).sum(), (~gone & ill).sum()], [(gone & ~ill).sum(), (~gone & ~ill).sum()]]
    assert found["biopsy"].p == pytest.approx(2 * fisher_exact(counts).pvalue, rel=1e-9, abs=0)


def test_a_patient_counts_once_in_the_test_of_missingness() -> None:
    base = _table(x=["", "1", "1", "1"] * 3)
    order = np.repeat(np.arange(12), 20)
    many = base.rows(order)
    assert missingness(many)[0].p == missingness(base)[0].p


def test_no_patient_is_in_both_parts_and_few_patients_are_refused() -> None:
    base = _table(x=[str(index) for index in range(40)])
    table = base.rows(np.repeat(np.arange(40), 3))
    training, held_out = split_patients(table, parts=4, seed=0)
    assert not set(training.patients.tolist()) & set(held_out.patients.tolist())
    assert len(training.target) + len(held_out.target) == 120
    with pytest.raises(ValueError, match="3 patients with target 0; at least 8 are needed"):
        split_patients(_table(x=["1"] * 6), parts=4, seed=0)


def test_dicom_attributes_become_rows_of_studies(tmp_path: Path) -> None:
    for number, (study, age) in enumerate((("1.2", "045Y"), ("1.2", ""), ("1.3", ""))):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid()
        dataset.PatientID, dataset.PatientSex, dataset.SmokingStatus = f"P{study}", "F", "YES"
        dataset.PatientAge = age
        dataset.PatientSize = "1.62"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("not DICOM")
    first, second = attribute_rows(tmp_path)
    assert (first["StudyInstanceUID"], first["PatientAge"], first["SmokingStatus"]) == ("1.2", "045Y", "YES")
    assert (second["PatientAge"], second["PatientSize"], second["PatientWeight"]) == ("", "1.62", "")
