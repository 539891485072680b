# SPDX-License-Identifier: Apache-2.0
"""The documents that a result's own replaces, as Predecessor Documents Sequence (0040,A360) names them."""

from collections.abc import Iterable
from dataclasses import replace

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage

from service.ports import PriorObject, ResultContext
from service.results.object.identifiers import sr_series_instance_uid
from service.results.report.sr_document import Reference
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.sources import text


def with_series(prior: PriorObject) -> PriorObject:
    """Return the object with the series that its file says; a report's series follows from its UID when it is gone."""
    if prior.path is None:
        return replace(prior, series_instance_uid=sr_series_instance_uid(prior.sop_instance_uid))
    try:
        header = pydicom.dcmread(prior.path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
    except (OSError, InvalidDicomError, *BAD_VALUE_ERRORS):
        return replace(prior, series_instance_uid=sr_series_instance_uid(prior.sop_instance_uid))
    return replace(prior, series_instance_uid=text(header, "SeriesInstanceUID"))


def predecessors(context: ResultContext) -> tuple[PriorObject, ...]:
    """Return the documents that the context names; of a bare UID all follows that a report of ours has."""
    named = {prior.sop_instance_uid for prior in context.predecessors}
    bare = [uid for uid in context.predecessor_sop_instance_uids if uid not in named]
    return context.predecessors + tuple(map(_report, bare))


def predecessor_references(context: ResultContext) -> list[Reference]:
    """Return the predecessors as the documents refer to them (PS3.3 C.17.2)."""
    return [
        Reference(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            series_instance_uid=item.series_instance_uid,
        )
        for item in predecessors(context)
    ]


def _report(sop_instance_uid: str) -> PriorObject:
    return PriorObject(
        kind="sr",
        sop_class_uid=str(ComprehensiveSRStorage),
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=sr_series_instance_uid(sop_instance_uid),
    )


def study_references(study_instance_uid: str, objects: Iterable[PriorObject]) -> list[Dataset]:
    """Return the objects, all of one study, by series: the hierarchical SOP instance reference macro (PS3.3 C.17-3)."""
    by_series: dict[str, list[Dataset]] = {}
    for item in objects:
        by_series.setdefault(item.series_instance_uid, []).append(_reference(item))
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = Sequence([_series(uid, items) for uid, items in by_series.items()])
    return [study]


def _series(series_instance_uid: str, references: list[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ReferencedSOPSequence = Sequence(references)
    return series


def _reference(item: PriorObject) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = item.sop_class_uid
    reference.ReferencedSOPInstanceUID = item.sop_instance_uid
    return reference
