# SPDX-License-Identifier: Apache-2.0
"""Older studies that an archive is asked for: what is asked, which answers count, and what became of it.

An archive may answer with more than was asked: a Patient ID of a query is a pattern, and keys that it does not know are
ignored (PS3.4 C.2.2.2). Every answer is therefore compared with the question before anything is moved.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from service.domain.instance import Instance
from service.domain.prior import study_date
from service.domain.result import Reason

RADIOGRAPHY: Final = frozenset({"CR", "DX"})
"""Values of (0008,0060) Modality that are one to us: a site that changes its detector has older films as CR."""
UNASKABLE: Final = frozenset("*?\\")
"""Characters that make a Patient ID a pattern, or several values (PS3.4 C.2.2.2.4, PS3.5 6.2)."""
DAYS_PER_YEAR: Final = 365.25


class FetchState(StrEnum):
    """What the task of a fetch has yet to do."""

    LOOKING = "looking"
    """Ask the archive what it has."""
    MOVING = "moving"
    """Have what was found sent to this node."""
    DONE = "done"


class FetchOutcome(StrEnum):
    """What a study was told that waited for an older one."""

    WAITING = ""
    COMPARABLE = "comparable"
    """An older study came, was analysed, and can be compared with."""
    NONE = "none"
    """The archive has no older study of the patient and the modality within `priors.years`."""
    UNREACHABLE = "unreachable"
    """The archive could not be asked."""
    REFUSED = "refused"
    """The archive refused the query, or to send."""
    INCOMPLETE = "incomplete"
    """Not everything came that the archive said it sends, or that was asked for."""
    OTHER_PATIENT = "other_patient"
    """What came is of another patient, by issuer, Patient ID and birth date."""
    UNUSABLE = "unusable"
    """What came is not wanted by the rules, or could not be analysed."""
    LATE = "late"
    """No result of the older study was there after `priors.wait_seconds`."""


class AskedState(StrEnum):
    """Where an older study stands that an archive was asked to send."""

    ASKED = "asked"
    WHOLE = "whole"
    """Everything came."""
    PARTIAL = "partial"
    """Not everything came: what came is not analysed."""
    ANSWERED = "answered"
    """Its analysis has ended, or there is none."""


SENTENCES: Final[Mapping[FetchOutcome, str]] = {
    FetchOutcome.UNREACHABLE: "the archive could not be asked for older studies of the patient",
    FetchOutcome.REFUSED: "the archive refused the search for older studies of the patient, or to send one",
    FetchOutcome.INCOMPLETE: "the archive has an older study of the patient, but did not send all of it",
    FetchOutcome.OTHER_PATIENT: "the archive sent a study of another patient than was asked for",
    FetchOutcome.UNUSABLE: "the archive sent an older study of the patient, but it could not be analysed",
    FetchOutcome.LATE: "the archive was asked for an older study of the patient, and its result was not there in time",
}
"""What a result says where no comparison could be made; nothing where there is nothing to compare with."""


def fetch_flag(outcome: FetchOutcome) -> Reason | None:
    """Return why a result is without comparison; None where nothing is to be said."""
    sentence = SENTENCES.get(outcome)
    if sentence is None:
        return None
    return Reason(code=f"prior_{outcome.value}", message=f"{sentence}; no comparison was made; compare by eye")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorQuery:
    """Whose older studies are looked for, and of what time; dates are YYYYMMDD, both included.

    `issuer` and `birth_date` are "" where the study itself does not say.
    """

    study_instance_uid: str
    patient_id: str
    issuer: str
    birth_date: str
    first_date: str
    last_date: str
    modalities: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """What an archive says of a study; "" and () where it does not say."""

    study_instance_uid: str
    patient_id: str
    issuer: str = ""
    birth_date: str = ""
    study_date: str = ""
    study_time: str = ""
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """What an archive says of a series: `attributes` are those of its answer that have a value, by keyword."""

    series_instance_uid: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What an archive says that it sent of a series: numbers of C-STORE sub-operations (PS3.4 C.4.2.1)."""

    status: int
    completed: int
    failed: int

    @property
    def is_partial(self) -> bool:
        """Whether some of the series came, and some did not."""
        return bool(self.completed and self.failed)


def prior_query(image: Instance, *, years: float) -> PriorQuery | None:
    """Return what an archive is to be asked for an image's patient; None where that cannot be said without doubt.

    A Patient ID with a wildcard would ask for other people's studies too.
    """
    patient_id, day, modality = _text(image, "PatientID"), _day(study_date(image)), image.text("Modality")
    several = len(image.values("PatientID")) > 1
    if several or not patient_id or UNASKABLE & set(patient_id) or not patient_id.isprintable():
        return None
    if day is None or not modality:
        return None
    last = day - timedelta(days=1)
    return PriorQuery(
        study_instance_uid=image.study_instance_uid,
        patient_id=patient_id,
        issuer=_text(image, "IssuerOfPatientID"),
        birth_date=_text(image, "PatientBirthDate"),
        first_date=f"{day - timedelta(days=round(years * DAYS_PER_YEAR)):%Y%m%d}",
        last_date=f"{last:%Y%m%d}",
        modalities=RADIOGRAPHY if modality in RADIOGRAPHY else frozenset({modality}),
    )


def candidates(query: PriorQuery, found: Iterable[FoundStudy], *, known: frozenset[str]) -> Iterator[FoundStudy]:
    """Yield the studies that answer the question, the newest first, without those that are `known` here."""
    answers = (study for study in found if _answers(query, study) and study.study_instance_uid not in known)
    once = {study.study_instance_uid: study for study in answers}.values()
    yield from sorted(once, key=lambda study: (study.study_date, study.study_time), reverse=True)


def _answers(query: PriorQuery, study: FoundStudy) -> bool:
    own = study.study_instance_uid in {"", query.study_instance_uid}
    in_time = query.first_date <= study.study_date <= query.last_date
    of_modality = not study.modalities or bool(query.modalities & set(study.modalities))
    return not own and in_time and of_modality and _same_patient(query, study)


def _same_patient(query: PriorQuery, study: FoundStudy) -> bool:
    """Say whether nothing speaks against it: an archive need not return issuer and birth date, the images have them."""
    said = ((study.issuer, query.issuer), (study.birth_date, query.birth_date))
    return study.patient_id == query.patient_id and all(theirs in {"", ours} for theirs, ours in said)


def wanted_series(query: PriorQuery, series: Iterable[FoundSeries]) -> Sequence[FoundSeries]:
    """Return the series of the query's modalities, each once."""
    wanted = (item for item in series if item.attributes.get("Modality", "") in query.modalities)
    return list({item.series_instance_uid: item for item in wanted}.values())


def _text(image: Instance, keyword: str) -> str:
    values = image.values(keyword)
    return str(values[0]).strip() if values else ""


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
