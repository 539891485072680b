# SPDX-License-Identifier: Apache-2.0
"""An analysis of the other kind of chest image of the same patient, to which a report refers.

Radiograph and CT see the same disease: the classification of one is read beside the pattern of the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from service.domain.result import Outcome, PipelineResult

COMPANIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"pneumoconiosis": "diffuse_lung", "diffuse_lung": "pneumoconiosis"}
)
"""Which pipeline's result a pipeline's report refers to."""
_IMAGES: Final = MappingProxyType({"pneumoconiosis": "chest radiograph", "diffuse_lung": "chest CT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """The latest result of the companion pipeline for the patient; `study_date` is YYYYMMDD."""

    pipeline: str
    study_instance_uid: str
    study_date: str
    headline: str

    @property
    def lines(self) -> tuple[str, str]:
        """What a report says of it: which images and when, and their result line."""
        date = f"{self.study_date[:4]}-{self.study_date[4:6]}-{self.study_date[6:]}"
        return f"The patient's {_IMAGES[self.pipeline]} of {date} was analysed too:", self.headline


def with_companion(result: PipelineResult, companion: Companion | None) -> PipelineResult:
    """Return the result with a reference to its companion; one that says nothing of the images stays as it is."""
    if companion is None or result.outcome is Outcome.NOT_ANALYSED:
        return result
    values = {
        "companion_study_instance_uid": companion.study_instance_uid,
        "companion_pipeline": companion.pipeline,
        "companion_study_date": companion.study_date,
    }
    return replace(result, summary=(*result.summary, *companion.lines), values={**result.values, **values})
