# SPDX-License-Identifier: Apache-2.0
"""Clinical columns from DICOM headers: which attributes, in which units, and how their values are read."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from service.dicom.header import read_attributes
from service.domain.errors import InputError
from service.domain.instance import AttributeValue

STUDY, PATIENT = "StudyInstanceUID", "PatientID"
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_AGE = re.compile(r"(\d{3})([DWMY])")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A DICOM attribute: whether it is a number, and its unit ("" for text)."""

    numeric: bool
    unit: str = ""


ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "PatientAge": Attribute(numeric=True, unit="years"),  # (0010,1010), AS
        "PatientSex": Attribute(numeric=False),  # (0010,0040)
        "PatientSize": Attribute(numeric=True, unit="m"),  # (0010,1020)
        "PatientWeight": Attribute(numeric=True, unit="kg"),  # (0010,1030)
        "PatientBodyMassIndex": Attribute(numeric=True, unit="kg/m2"),  # (0010,1022)
        "SmokingStatus": Attribute(numeric=False),  # (0010,21A0): YES, NO, UNKNOWN
    }
)
"""Technical attributes (manufacturer, kVp, institution) are not among them: they tell the site, not the patient."""
UNKNOWN = frozenset({"", "NA", "N/A", "NAN", "NULL", "NONE", "?", "UNKNOWN"})
"""Words, in upper case, that mean a missing value in any column."""


def age_years(text: str) -> float:
    """Return the years of an Age String, for example "045Y" or "018M"; a plain number is years already.

    Raises
    ------
    ValueError
        It is neither.
    """
    match = _AGE.fullmatch(text.strip().upper())
    if match:
        return int(match[1]) * _YEARS[match[2]]
    try:
        years = float(text)
    except ValueError:
        years = math.nan
    if not 0 <= years <= 150:
        raise ValueError(f"(0010,1010) 'Patient's Age' value {text!r} is no age; it is like 045Y, or a number of years")
    return years


def attribute_rows(folder: Path) -> list[dict[str, str]]:
    """Return one row for each study below a folder: its UID, its patient and the attributes, "" where absent.

    The first file of a study, by path, that has a value gives it; files that are no DICOM are passed over.
    """
    rows: dict[str, dict[str, str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found = read_attributes(path, (STUDY, PATIENT, *ATTRIBUTES))
        except InputError:
            continue
        row = rows.setdefault(_text(found.get(STUDY)), {})
        for keyword in (STUDY, PATIENT, *ATTRIBUTES):
            row[keyword] = row.get(keyword) or _text(found.get(keyword))
    return [rows[uid] for uid in sorted(rows) if uid]


def _text(value: AttributeValue) -> str:
    if value is None:
        return ""
    return str(value[0] if isinstance(value, tuple) else value).strip()
