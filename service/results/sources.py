# SPDX-License-Identifier: Apache-2.0
"""The source instances of a result: who they are, and their headers as they came, read once."""

from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset

from service.domain.instance import Instance
from service.ports import ResultContext

BAD_VALUE_ERRORS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, NotImplementedError, LookupError)
"""What pydicom raises when a value does not fit its representation; such an attribute counts as absent."""


@dataclass(slots=True)
class Sources:
    """Instances by UID, in a stable order, with their headers on demand."""

    instances: tuple[Instance, ...]
    _headers: dict[str, Dataset] = field(default_factory=dict)

    @classmethod
    def of(cls, context: ResultContext) -> "Sources":
        """Take the instances of a context in the order of their UIDs."""
        return cls(tuple(sorted(context.sources, key=lambda instance: instance.sop_instance_uid)))

    def instance(self, sop_instance_uid: str) -> Instance:
        """Return the instance; a result may only speak of instances that it was made from."""
        for instance in self.instances:
            if instance.sop_instance_uid == sop_instance_uid:
                return instance
        raise ValueError(
            f"the result refers to SOP instance {sop_instance_uid}, which is not among its "
            f"{len(self.instances)} sources; a pipeline must anchor findings and heatmaps on its input"
        )

    def header(self, sop_instance_uid: str) -> Dataset:
        """Return the instance's header with every element as raw bytes, pixels left out."""
        if sop_instance_uid not in self._headers:
            path = self.instance(sop_instance_uid).path
            self._headers[sop_instance_uid] = pydicom.dcmread(path, stop_before_pixels=True)
        return self._headers[sop_instance_uid]

    @property
    def first(self) -> Instance:
        """The instance that patient and study attributes are copied from."""
        if not self.instances:
            raise ValueError("a result without sources has no patient to belong to; give at least one instance")
        return self.instances[0]


def text(header: Dataset, keyword: str) -> str:
    """Return the attribute's first value as stripped text; "" when it is absent, empty or unreadable."""
    try:
        value = header.get(keyword)
    except BAD_VALUE_ERRORS:
        return ""
    if isinstance(value, pydicom.multival.MultiValue):
        value = value[0] if value else None
    return "" if value is None else str(value).strip()


def integer(header: Dataset, keyword: str) -> int | None:
    """Return the attribute as a whole number; None when it is none."""
    value = text(header, keyword)
    return int(value) if value.isdecimal() else None
