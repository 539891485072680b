# SPDX-License-Identifier: Apache-2.0
"""The report of a result in every SOP class that a destination may ask for: written in advance, sent after negotiation.

Comprehensive 3D SR (88.34), which IHE AI Results asks for, Comprehensive SR (88.33), which every viewer draws, and
Enhanced SR (88.22) hold the same TID 1500 content, built and encoded once; Basic Text SR (88.11) says it in words. A
destination is sent the first that it accepts (results.md 0.1, rule 2).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from service.domain.profile import ReportClass
from service.domain.result import PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.encoding import encoded
from service.results.object.identifiers import SR_ROLE, result_uid, sr_series_instance_uid
from service.results.object.part10 import write_object
from service.results.report.sr1500 import report_document
from service.results.report.sr_text import text_document
from service.results.source.sources import Sources
from service.results.source.verbatim import Elements, patient_and_study

SLOT = "report"
ROLES: Mapping[str, str] = MappingProxyType(
    {
        ComprehensiveSRStorage: SR_ROLE,
        Comprehensive3DSRStorage: f"{SR_ROLE}:comprehensive3d",
        EnhancedSRStorage: f"{SR_ROLE}:enhanced",
    }
)
"""The part that each SOP class plays in the UIDs of a result."""
CHAINS: Mapping[ReportClass, tuple[str, ...]] = MappingProxyType(
    {
        ReportClass.COMPREHENSIVE: (ComprehensiveSRStorage, EnhancedSRStorage),
        ReportClass.COMPREHENSIVE_3D: (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage),
    }
)
"""The SOP classes of the TID 1500 report, in the order in which they are offered; Basic Text SR follows."""
BASIC_TEXT_ROLE = f"{SR_ROLE}:basic"


def encode_sr(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the report in every form; the text alone where there is no image of known size to anchor findings on."""
    sources = Sources.of(context)
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid))
    report = report_document(result, context, sources)
    classes = CHAINS[context.profile.report_class] if report is not None else ()
    objects = []
    if report is not None:
        content = verbatim | encoded(report, "ContentSequence", character_set=verbatim)
        objects = [_write(_as_class(report, uid, result, context), folder, content) for uid in classes]
    objects.append(_write(text_document(result, context, sources, role=BASIC_TEXT_ROLE), folder, verbatim))
    return tuple(replace(item, slot=SLOT, rank=rank) for rank, item in enumerate(objects))


def _as_class(report: Dataset, sop_class_uid: str, result: PipelineResult, context: ResultContext) -> Dataset:
    """Make the document one of another SOP class; each is an object, and a series, of its own."""
    uid = result_uid(result, ROLES[sop_class_uid], revision=context.revision, profile=context.profile)
    report.SOPClassUID = sop_class_uid
    report.SOPInstanceUID = uid
    report.SeriesInstanceUID = sr_series_instance_uid(uid)
    return report


def _write(document: Dataset, folder: Path, verbatim: Elements) -> EncodedObject:
    return write_object(document, folder, kind=ResultKind.SR, verbatim=verbatim)
