# SPDX-License-Identifier: Apache-2.0
"""Who counts as the same patient, and how numbers of two studies are compared."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.instance import AttributeValue, Instance
from service.domain.prior import Change, Prior, patient_key, prior_flags, study_date
from service.domain.result import Outcome, PackageIdentity, PackageStatus

IDENTITY: dict[str, AttributeValue] = {
    "PatientID": "4711",
    "IssuerOfPatientID": "H1",
    "PatientBirthDate": "19600102",
    "StudyDate": "20250304",
}


def image(**changes: AttributeValue) -> Instance:
    return Instance(
        sop_instance_uid="1.1",
        sop_class_uid="1",
        study_instance_uid="9",
        series_instance_uid="8",
        transfer_syntax_uid="1",
        path=Path("x.dcm"),
        sha256="",
        size_bytes=1,
        attributes={**IDENTITY, **changes},
    )


def package(version: str = "1.0.0", digest: str = "a") -> PackageIdentity:
    return PackageIdentity(name="p", version=version, sha256=digest * 64, status=PackageStatus.RESEARCH)


@pytest.mark.parametrize("same", [{}, {"PatientID": " 4711 "}, {"StudyDate": "19990101"}, {"AccessionNumber": "7"}])
def test_blanks_and_what_is_of_the_study_do_not_change_the_patient(same: dict[str, AttributeValue]) -> None:
    assert patient_key(image(**same)) == patient_key(image()) != ""


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "4712"},
        {"PatientID": "4711a"},
        {"IssuerOfPatientID": "H2"},
        {"IssuerOfPatientID": None},
        {"PatientBirthDate": "19600103"},
        {"PatientBirthDate": None},
        {"PatientID": "H14711", "IssuerOfPatientID": None},
    ],
)
def test_any_part_of_the_identity_makes_another_patient(other: dict[str, AttributeValue]) -> None:
    assert patient_key(image(**other)) != patient_key(image())


@pytest.mark.parametrize("nothing", [None, "", "   "])
def test_without_a_patient_id_nobody_is_the_same(nothing: AttributeValue) -> None:
    assert patient_key(image(PatientID=nothing)) == ""


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_equal_keys_mean_equal_identities(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def key(parts: tuple[str, str, str]) -> str:
        number, issuer, born = parts
        return patient_key(image(PatientID=number, IssuerOfPatientID=issuer, PatientBirthDate=born))

    stripped = [tuple(part.strip() for part in parts) for parts in (one, other)]
    assert (key(one) == key(other)) == (stripped[0] == stripped[1] or not (stripped[0][0] or stripped[1][0]))


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("20250304", "20250304"),
        ("2025.03.04", "20250304"),
        (" 20250304", "20250304"),
        ("202503", ""),
        ("yesterda", ""),
        ("２０２５０３０４", ""),
        (None, ""),
    ],
)
def test_only_whole_dates_count(value: AttributeValue, date: str) -> None:
    assert study_date(image(StudyDate=value)) == date


def prior(digest: str) -> Prior:
    return Prior(
        study_instance_uid="1",
        study_date="20240131",
        package=package("0.9.0", digest),
        outcome=Outcome.FINDINGS,
        values={},
    )


def test_a_prior_of_the_same_package_is_compared_without_a_word() -> None:
    assert list(prior_flags(prior("a"), package())) == []
    assert prior("a").date == "2024-01-31"


def test_a_prior_of_another_package_is_flagged_with_both_versions() -> None:
    (flag,) = prior_flags(prior("b"), package())
    assert flag.code == "prior_of_other_package"
    assert "0.9.0" in flag.message
    assert "1.0.0" in flag.message


def test_changes_are_given_in_the_unit_and_in_percent_of_before() -> None:
    assert (Change(before=10.0, now=12.5).absolute, Change(before=10.0, now=12.5).relative_percent) == (2.5, 25.0)
    assert Change(before=8.0, now=2.0).relative_percent == -75.0
    assert Change(before=0.0, now=2.0).relative_percent is None
