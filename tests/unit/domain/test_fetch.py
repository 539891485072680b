# SPDX-License-Identifier: Apache-2.0
"""What an archive is asked for an older study, and which of its answers count."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.fetch import (
    SENTENCES,
    FetchOutcome,
    FoundSeries,
    FoundStudy,
    PriorQuery,
    candidates,
    fetch_flag,
    prior_query,
    wanted_series,
)
from service.domain.instance import AttributeValue, Instance

IDENTITY: dict[str, AttributeValue] = {
    "PatientID": " 4711 ",
    "IssuerOfPatientID": "A",
    "PatientBirthDate": "19550101",
    "StudyDate": "20240610",
    "Modality": "DX",
}
QUERY = PriorQuery(
    study_instance_uid="1.9",
    patient_id="4711",
    issuer="A",
    birth_date="19550101",
    first_date="20190610",
    last_date="20240609",
    modalities=frozenset({"CR", "DX"}),
)
FOUND = FoundStudy(study_instance_uid="1.1", patient_id="4711", study_date="20220101", modalities=("CR", "SR"))
NOBODY: frozenset[str] = frozenset()


def image(**changes: AttributeValue) -> Instance:
    return Instance(
        sop_instance_uid="1.9.1",
        sop_class_uid="1",
        study_instance_uid="1.9",
        series_instance_uid="1.9.0",
        transfer_syntax_uid="1",
        path=Path("x"),
        sha256="a",
        size_bytes=1,
        attributes={**IDENTITY, **changes},
    )


def test_the_question_is_the_patient_and_the_years_before() -> None:
    assert prior_query(image(), years=5) == replace(QUERY, first_date="20190611")  # 5 x 365.25 days, rounded


@pytest.mark.parametrize(("modality", "asked"), [("CR", {"CR", "DX"}), ("CT", {"CT"}), ("MG", {"MG"})])
def test_films_of_either_kind_are_one(modality: str, asked: set[str]) -> None:
    question = prior_query(image(Modality=modality), years=1)
    assert question is not None
    assert question.modalities == asked


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": None},
        {"PatientID": "  "},
        {"PatientID": "*"},
        {"PatientID": "47?1"},
        {"PatientID": ("47", "11")},
        {"PatientID": "47\\11"},
        {"PatientID": "47\x0011"},
        {"StudyDate": None},
        {"StudyDate": "20240231"},
        {"StudyDate": "today"},
        {"Modality": None},
    ],
    ids=str,
)
def test_what_would_ask_for_others_or_for_no_time_is_not_asked(changes: dict[str, AttributeValue]) -> None:
    assert prior_query(image(**changes), years=5) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"patient_id": "4712"},
        {"patient_id": ""},
        {"patient_id": "4711 "},
        {"issuer": "B"},
        {"birth_date": "19550102"},
        {"study_date": "20240610"},
        {"study_date": "20190609"},
        {"study_date": ""},
        {"modalities": ("CT",)},
        {"study_instance_uid": "1.9"},
        {"study_instance_uid": ""},
    ],
    ids=str,
)
def test_an_answer_that_does_not_answer_the_question_is_left_out(changes: dict[str, Any]) -> None:
    assert list(candidates(QUERY, [replace(FOUND, **changes)], known=NOBODY)) == []


@pytest.mark.parametrize(
    "changes",
    [{}, {"issuer": "A"}, {"birth_date": "19550101"}, {"modalities": ()}, {"study_date": "20190610"}],
    ids=str,
)
def test_an_archive_may_leave_out_what_it_need_not_say(changes: dict[str, Any]) -> None:
    assert len(list(candidates(QUERY, [replace(FOUND, **changes)], known=NOBODY))) == 1


def test_a_study_without_issuer_has_no_older_one_with_one() -> None:
    plain = replace(QUERY, issuer="", birth_date="")
    assert list(candidates(plain, [replace(FOUND, issuer="A")], known=NOBODY)) == []
    assert list(candidates(plain, [replace(FOUND, birth_date="19550101")], known=NOBODY)) == []


def test_the_newest_comes_first_and_what_is_known_not_at_all() -> None:
    found = [
        replace(FOUND, study_instance_uid=uid, study_date=date, study_time=time)
        for uid, date, time in (("1.1", "20200101", ""), ("1.2", "20220101", "08"), ("1.3", "20220101", "0930"))
    ]
    ordered = [study.study_instance_uid for study in candidates(QUERY, found, known=frozenset({"1.3"}))]
    assert ordered == ["1.2", "1.1"]


def test_what_an_archive_says_twice_is_asked_for_once() -> None:
    assert len(list(candidates(QUERY, [FOUND, FOUND], known=NOBODY))) == 1
    series = FoundSeries(series_instance_uid="1", attributes={"Modality": "DX"})
    assert len(wanted_series(QUERY, [series, series])) == 1


def test_series_of_another_modality_are_left_out() -> None:
    series = [
        FoundSeries(series_instance_uid=uid, attributes={"Modality": modality} if modality else {})
        for uid, modality in (("1", "DX"), ("2", "SR"), ("3", ""))
    ]
    assert [item.series_instance_uid for item in wanted_series(QUERY, series)] == ["1"]


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_whatever_an_archive_says_is_of_another_patient_is_never_taken(patient: str, issuer: str, birth: str) -> None:
    found = replace(FOUND, patient_id=patient, issuer=issuer, birth_date=birth)
    for study in candidates(QUERY, [found], known=NOBODY):
        assert study.patient_id == QUERY.patient_id
        assert study.issuer in {"", QUERY.issuer}
        assert study.birth_date in {"", QUERY.birth_date}


def test_a_result_says_why_it_compares_with_nothing_unless_there_is_nothing() -> None:
    assert set(FetchOutcome) - set(SENTENCES) == {FetchOutcome.WAITING, FetchOutcome.COMPARABLE, FetchOutcome.NONE}
    for outcome in FetchOutcome:
        flag = fetch_flag(outcome)
        assert (flag is None) == (outcome not in SENTENCES)
        if flag is not None:
            assert flag.code == f"prior_{outcome.value}"
            assert "no comparison was made" in flag.message
