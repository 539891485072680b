# SPDX-License-Identifier: Apache-2.0
"""An earlier analysed study of the same patient: how it is recognised, and how its numbers are compared."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.domain.instance import Instance
from service.domain.result import Outcome, PackageIdentity, Reason

_IDENTITY = ("IssuerOfPatientID", "PatientID", "PatientBirthDate")
_DATE_DIGITS = 8


def patient_key(instance: Instance) -> str:
    """Return a digest that is equal for instances of one patient; "" where (0010,0020) Patient ID is absent or empty.

    Issuer, Patient ID and birth date must all be the same, absence included: two hospitals may give the same number to
    two people, and a wrong prior is worse than none. Surrounding blanks do not count (PS3.5 6.2), case does.
    """
    issuer, number, birth_date = (_stripped(instance, keyword) for keyword in _IDENTITY)
    if not number:
        return ""
    return hashlib.sha256(json.dumps([issuer, number, birth_date]).encode()).hexdigest()


def study_date(instance: Instance) -> str:
    """Return (0008,0020) Study Date as YYYYMMDD; "" where it is absent or no date of eight digits."""
    date = _stripped(instance, "StudyDate").replace(".", "")  # YYYY.MM.DD is the form before DICOM 3.0 (PS3.5 6.2)
    return date if len(date) == _DATE_DIGITS and date.isascii() and date.isdigit() else ""


def _stripped(instance: Instance, keyword: str) -> str:
    values = instance.values(keyword)
    return str(values[0]).strip() if values else ""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Prior:
    """What a pipeline is told of the latest older study that it analysed of the same patient.

    `study_date` is YYYYMMDD, `values` are those of its result (`PipelineResult.values`), as JSON types. The package has
    the name of the one in use, but may be another version of it: `prior_flags` says so.
    """

    study_instance_uid: str
    study_date: str
    package: PackageIdentity
    outcome: Outcome
    values: dict[str, Any]

    @property
    def date(self) -> str:
        """The study date for people: YYYY-MM-DD."""
        return f"{self.study_date[:4]}-{self.study_date[4:6]}-{self.study_date[6:]}"


def prior_flags(prior: Prior, package: PackageIdentity) -> Iterator[Reason]:
    """Yield why a change since the prior may not be the patient's: every result that shows one must carry these."""
    if prior.package.sha256 != package.sha256:
        yield Reason(
            code="prior_of_other_package",
            message=f"the prior study was analysed by {prior.package.name} {prior.package.version}, this one by "
            f"{package.name} {package.version}; a change may be that of the package; analyse the prior study again",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A number in the prior study and now."""

    before: float
    now: float

    @property
    def absolute(self) -> float:
        """By how much it grew, in its own unit (percentage points for a percentage)."""
        return self.now - self.before

    @property
    def relative_percent(self) -> float | None:
        """By how much it grew, in percent of what it was; None where it was 0."""
        return 100 * (self.now - self.before) / self.before if self.before else None
