# SPDX-License-Identifier: Apache-2.0
"""Attributes that all result objects share: who made them, when, and that they are research."""

from datetime import datetime, timedelta, timezone
from functools import cache

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from service import __version__
from service.codes import Code, dcm
from service.domain.instance import Instance
from service.domain.provenance import MANUFACTURER
from service.domain.result import PackageIdentity, PipelineResult
from service.results.object.encoding import encoded
from service.results.object.identifiers import SERVICE, derived_uid
from service.results.source.sources import text
from service.results.words.statements import label, latin, meaning, model_name


def software_versions(result: PipelineResult) -> list[str]:
    """Return Software Versions (0018,1020): the node's, then the package's."""
    own = f"dokuei {__version__}"
    package = result.package
    return [own, label(f"{package.name} {package.version}"), f"sha256:{package.sha256[:32]}"] if package else [own]


def stamp(dataset: Dataset, result: PipelineResult, *, description: str, source: Dataset) -> None:
    """Write equipment, series description and frozen times.

    Times are those of the analysis, never of the encoding, or a second encoding would be another object under the
    same UID.
    """
    moment = local_time(result.analysed_at, source)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    for event in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{event}Date", date)
        setattr(dataset, f"{event}Time", time)
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = model_name(result)
    dataset.DeviceSerialNumber = __version__
    dataset.SoftwareVersions = software_versions(result)
    dataset.SeriesDescription = description
    dataset.ContentQualification = "RESEARCH"
    if result.package is not None:
        dataset.ContributingEquipmentSequence = Sequence([_model(result, result.package)])


def _model(result: PipelineResult, package: PackageIdentity) -> Dataset:
    """Return the model package as equipment that contributed (PS3.3 C.12.1.5): every object has room for it.

    Device UID tells one state of a model from the next, as IHE AI Results asks.
    """
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([code_item(dcm("109102"))])
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = label(package.name)
    item.SoftwareVersions = [label(package.version), package.sha256]
    item.DeviceUID = derived_uid(SERVICE, "package", package.name, package.version, package.sha256)
    triage = result.triage
    point = f"operating point {triage.operating_point} at {triage.threshold:g}" if triage else "no operating point"
    item.ContributionDescription = latin(f"Model package, status {package.status.value}, {point}")
    return item


def local_time(moment: datetime, source: Dataset) -> datetime:
    """Return the moment in the source's declared time zone, because one declaration holds for the whole data set.

    Without Timezone Offset From UTC (0008,0201) the moment keeps its own.
    """
    offset = text(source, "TimezoneOffsetFromUTC")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdecimal():
        return moment
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    if moment.tzinfo is None or minutes >= 24 * 60:
        return moment
    return moment.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))


def code_item(code: Code) -> Dataset:
    """Return a code as a sequence item (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = meaning(code)
    return item


@cache
def code_element(keyword: str, code: Code) -> RawDataElement:
    """Return a code sequence of one item in its encoded form, which a report repeats hundreds of times.

    Code meanings are ASCII, so that the bytes are right in every character set.
    """
    holder = Dataset()
    setattr(holder, keyword, Sequence([code_item(code)]))
    return encoded(holder, keyword, character_set={})[Tag(keyword)]


def references_item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """Return a reference to an object as a sequence item (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def reference_item(instance: Instance, *, frame_number: int | None = None) -> Dataset:
    """Return a reference to an instance as a sequence item (PS3.3 10.3)."""
    item = references_item(instance.sop_class_uid, instance.sop_instance_uid)
    if frame_number is not None:
        item.ReferencedFrameNumber = frame_number
    return item


def series_references(instances: tuple[Instance, ...]) -> Sequence:
    """Return the instances by series, for Referenced Series Sequence (PS3.3 C.12.2)."""
    items = []
    for series in dict.fromkeys(instance.series_instance_uid for instance in instances):
        item = Dataset()
        item.SeriesInstanceUID = series
        members = [instance for instance in instances if instance.series_instance_uid == series]
        item.ReferencedInstanceSequence = Sequence([reference_item(member) for member in members])
        items.append(item)
    return Sequence(items)
