# SPDX-License-Identifier: Apache-2.0
"""What a chest radiograph's header says, in the words of the gates."""

from datetime import date

from service.domain.instance import Instance

RADIOGRAPHY_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1.1",
    }
)
"""Computed Radiography, Digital X-Ray for presentation and for processing (PS3.4 B.5)."""
RADIOGRAPHY_MODALITIES = frozenset({"CR", "DX"})
CHEST_NAMES = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS"})
CHEST_CODES = frozenset({"51185008", "816094009", "43799004", "39607008", "T-D3000", "T-28000"})
"""Chest, thoracic cavity, lung: CID 4031 in SNOMED CT and, before 2011, SNOMED RT."""
_VIEW_CODES = {
    "272479007": "PA",
    "R-40888": "PA",
    "R-10214": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
}
"""Projections of CID 4010 in SNOMED CT, and in the SNOMED RT codes that older devices send."""


def is_radiograph(instance: Instance) -> bool:
    """Whether the instance is, or claims to be, a projection radiograph: worth an answer of this pipeline."""
    return instance.sop_class_uid in RADIOGRAPHY_CLASSES or instance.text("Modality") in RADIOGRAPHY_MODALITIES


def view_of(instance: Instance) -> str:
    """Return PA, AP, LL, RL or another View Position; "" when the header does not say."""
    codes = (str(value) for value in instance.values("ViewCodeSequence.CodeValue"))
    coded = next((_VIEW_CODES[value] for value in codes if value in _VIEW_CODES), "")
    return coded or instance.text("ViewPosition")


def body_part_of(instance: Instance) -> str:
    """Return CHEST for any way of saying chest, else what the header says, "" when it says nothing."""
    codes = {str(value) for value in instance.values("AnatomicRegionSequence.CodeValue")}
    name = instance.text("BodyPartExamined")
    if name in CHEST_NAMES or (not name and codes & CHEST_CODES):
        return "CHEST"
    return name or next(iter(sorted(codes)), "")


def is_pa_chest(instance: Instance) -> bool:
    """Whether the header says everything that is needed to start at once."""
    accepted = instance.sop_class_uid in RADIOGRAPHY_CLASSES
    return accepted and view_of(instance) == "PA" and body_part_of(instance) == "CHEST"


def pixel_spacing_of(instance: Instance) -> tuple[str, tuple[float, float]] | None:
    """Return the keyword and (row, column) spacing in mm; None when absent or not positive."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        values = [value for value in instance.values(keyword) if isinstance(value, int | float) and value > 0]
        if len(values) == 2:
            return keyword, (float(values[0]), float(values[1]))
    return None


def age_years_of(instance: Instance) -> float | None:
    """Return the age at the study: Patient's Age (PS3.5 AS), else from the dates; None when neither can be read."""
    text = instance.text("PatientAge")
    units = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
    if text[:-1].isdigit() and text[-1:] in units:
        return int(text[:-1]) / units[text[-1]]
    born, studied = _date(instance.text("PatientBirthDate")), _date(instance.text("StudyDate"))
    return (studied - born).days / 365.25 if born and studied else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def matrix_of(instance: Instance) -> int:
    """Return the number of pixels."""
    return int(instance.number("Rows") or 0) * int(instance.number("Columns") or 0)
