# SPDX-License-Identifier: Apache-2.0
"""How a study of `dokuei selftest` is recognised: it goes all the way, and never raises a priority."""

from collections.abc import Iterable
from typing import Final

from service.domain.instance import Instance

PATIENT_ID: Final = "DOKUEI-SELFTEST"
PATIENT_NAME: Final = "DOKUEI^SELFTEST"


def is_self_test(instances: Iterable[Instance]) -> bool:
    """Say whether all of these are of the self test's patient, who is nobody."""
    numbers = {str(instance.get("PatientID") or "").strip() for instance in instances}
    return numbers == {PATIENT_ID}
