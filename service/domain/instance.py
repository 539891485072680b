# SPDX-License-Identifier: Apache-2.0
"""A received DICOM instance as the ledger knows it: identity, place on disk and the attributes that decisions need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Scalar = str | int | float
AttributeValue = Scalar | tuple[Scalar, ...] | None
"""A DICOM value: None when empty, a tuple when the value multiplicity is above one.

Numbers are numbers (IS, US -> int; DS, FD -> float); everything else is text.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One SOP instance on stable storage.

    `attributes` maps DICOM keywords to values; an attribute inside a sequence is named with a dot and collects the
    values of all items ("ViewCodeSequence.CodeValue"). Absent attributes are absent keys, empty ones are None.
    `is_deleted` says that its file was deleted after its results were delivered: only the rest is left.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: Path
    sha256: str
    size_bytes: int
    calling_ae: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    is_deleted: bool = False

    def get(self, keyword: str) -> AttributeValue:
        """Return the attribute's value; None when it is absent or empty."""
        return self.attributes.get(keyword)

    def values(self, keyword: str) -> tuple[Scalar, ...]:
        """Return the attribute's values as a tuple, empty when it is absent or empty."""
        value = self.get(keyword)
        if value is None:
            return ()
        return value if isinstance(value, tuple) else (value,)

    def text(self, keyword: str) -> str:
        """Return the first value as upper-case text without surrounding blanks; "" when absent."""
        values = self.values(keyword)
        return str(values[0]).strip().upper() if values else ""

    def number(self, keyword: str) -> float | None:
        """Return the first value as a number; None when it is absent or no number."""
        values = self.values(keyword)
        return float(values[0]) if values and isinstance(values[0], int | float) else None


def sop_instance_uids(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Return the SOP Instance UIDs in sorted order, the order that every derived UID is computed from."""
    return tuple(sorted(instance.sop_instance_uid for instance in instances))
