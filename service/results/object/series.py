# SPDX-License-Identifier: Apache-2.0
"""How an object of a derived series begins: who it is, in which series, when and by whom it was made."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from service.domain.result import PipelineResult
from service.ports import ResultContext
from service.results.object.equipment import stamp
from service.results.object.identifiers import result_uid
from service.results.words.statements import series_description


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKind:
    """A series of result objects: `role` goes into its UID, `words` into its description."""

    role: str
    modality: str
    number: int
    words: str


def begin(
    series: SeriesKind,
    result: PipelineResult,
    context: ResultContext,
    *,
    sop_class_uid: str,
    role: str,
    instance_number: int,
    source: Dataset,
) -> Dataset:
    """Return a data set with SOP common, series and equipment attributes; `role` goes into the instance's UID."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = result_uid(result, role, revision=context.revision, profile=context.profile)
    dataset.SeriesInstanceUID = result_uid(
        result, f"series:{series.role}", revision=context.revision, profile=context.profile
    )
    dataset.SeriesNumber = series.number
    dataset.Modality = series.modality
    dataset.InstanceNumber = instance_number
    stamp(dataset, result, description=series_description(result, series.words, context=context), source=source)
    return dataset
