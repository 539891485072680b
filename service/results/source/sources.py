# SPDX-License-Identifier: Apache-2.0
"""The source instances of a result: who they are, and their headers as they came, read once."""

from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset

from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile, Language
from service.ports import ResultContext
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.characters import Adapted, adapted, declared
from service.results.source.verbatim import REQUEST


@dataclass(slots=True)
class Sources:
    """Instances by UID, in a stable order, with their headers on demand, in the character set of the profile."""

    instances: tuple[Instance, ...]
    profile: EncodingProfile = DEFAULT_PROFILE
    _headers: dict[str, Adapted] = field(default_factory=dict)

    @classmethod
    def of(cls, context: ResultContext) -> "Sources":
        """Take the instances of a context in the order of their UIDs."""
        return cls(tuple(sorted(context.sources, key=lambda instance: instance.sop_instance_uid)), context.profile)

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
        """Return the instance's header with every element as raw bytes, pixels left out.

        Patient and study are the first instance's. Text of an instance that declares another character set cannot
        stand beside them, so that its request attributes are left out.
        """
        header = self._read(sop_instance_uid).header
        if declared(header) != declared(self._read(self.first.sop_instance_uid).header):
            for keyword in REQUEST:
                header.pop(keyword, None)
        return header

    @property
    def language(self) -> Language:
        """The language that our own words are written in: the profile's, where the character set can carry it."""
        return self._read(self.first.sop_instance_uid).language

    @property
    def notes(self) -> tuple[str, ...]:
        """What the profile asks for and the source's character set does not allow."""
        return self._read(self.first.sop_instance_uid).notes

    def _read(self, sop_instance_uid: str) -> Adapted:
        if sop_instance_uid not in self._headers:
            header = pydicom.dcmread(self.instance(sop_instance_uid).path, stop_before_pixels=True)
            self._headers[sop_instance_uid] = adapted(header, self.profile)
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
