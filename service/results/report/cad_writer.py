# SPDX-License-Identifier: Apache-2.0
"""Makes a file of a CAD report's content tree."""

from dataclasses import dataclass
from pathlib import Path

from service.domain.result import Outcome, PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.equipment import stamp
from service.results.object.identifiers import result_uid, sr_series_instance_uid
from service.results.object.part10 import write_object
from service.results.report.sr_document import Identity, document
from service.results.report.sr_tree import Item
from service.results.source.sources import Sources
from service.results.source.verbatim import patient_and_study
from service.results.words.statements import series_description


@dataclass(frozen=True, slots=True, kw_only=True)
class CadKind:
    """What tells one kind of CAD report from another."""

    kind: ResultKind
    sop_class_uid: str
    series_number: int


def write_cad(root: Item, cad: CadKind, result: PipelineResult, context: ResultContext, folder: Path) -> EncodedObject:
    """Write the report. A series of its own for each, whose UID follows from the report's, as for TID 1500."""
    sources = Sources.of(context)
    uid = result_uid(result, cad.kind.value, revision=context.revision, profile=context.profile)
    identity = Identity(
        sop_class_uid=cad.sop_class_uid,
        sop_instance_uid=uid,
        series_instance_uid=sr_series_instance_uid(uid),
        series_number=cad.series_number,
    )
    dataset = document(
        root,
        identity,
        study_instance_uid=sources.first.study_instance_uid,
        evidence=sources.instances,
        predecessors=context.predecessors,
    )
    header = sources.header(sources.first.sop_instance_uid)
    stamp(dataset, result, description=_description(result, context), source=header)
    return write_object(dataset, folder, kind=cad.kind, verbatim=patient_and_study(header))


def _description(result: PipelineResult, context: ResultContext) -> str:
    """Return Series Description; it says NOT ANALYSED, because the templates leave no room for more than a code."""
    kind = "CAD SR, NOT ANALYSED," if result.outcome is Outcome.NOT_ANALYSED else "CAD SR"
    return series_description(result, kind, context=context)
