# SPDX-License-Identifier: Apache-2.0
"""Small real implementations of the ports, for tests of what stands around them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from service.domain.drift import Monitored
from service.domain.errors import DestinationUnreachableError
from service.domain.event import Event
from service.domain.instance import Instance
from service.domain.result import (
    Outcome,
    PackageIdentity,
    PackageStatus,
    PipelineResult,
    Reason,
    Triage,
)
from service.domain.study import Completeness, Refusal, Selection
from service.ports import (
    AnalysisRequest,
    AnalysisSummary,
    EncodedObject,
    EncodeRequest,
    IncomingInstance,
    InstalledPackage,
    Package,
    RejectRequest,
    ResultObject,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.33"
KOS = "1.2.840.10008.5.1.4.1.1.88.59"
PACKAGE = InstalledPackage(
    identity=PackageIdentity(name="fake", version="1", sha256="a" * 64, status=PackageStatus.DEMONSTRATION),
    acceptance={},
)


SHADOW_SUMMARY = AnalysisSummary(outcome=Outcome.FINDINGS, headline="Shadow")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return datetime.now(UTC).timestamp()


@dataclass
class Recorder:
    """Keeps every event."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class FakePipeline:
    """Takes any number of CT slices; complete with `enough` of them, refuses a study described as "REFUSE"."""

    name: str = "fake"
    enough: int = 2

    def completeness(self, instances: Sequence[Instance]) -> Completeness:
        return Completeness.COMPLETE if len(instances) >= self.enough else Completeness.INCOMPLETE

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:  # noqa: ARG002 - the port's form
        if instances[0].text("StudyDescription") == "REFUSE":
            return Refusal(reasons=(Reason(code="unwanted", message="unwanted"),), instances=tuple(instances))
        return Selection(instances=tuple(instances))

    def run(self, selection: Selection, package: Package, *, analysed_at: datetime) -> PipelineResult:
        raise NotImplementedError


@dataclass
class FakeAnalyst:
    """Writes one text file as its SR; `before` runs at each analysis and may raise."""

    before: Callable[[AnalysisRequest], None] = lambda _: None
    triage: Triage | None = None
    analysed: list[str] = field(default_factory=list)
    refused: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    encoded: list[EncodeRequest] = field(default_factory=list)
    rejected: list[RejectRequest] = field(default_factory=list)
    has: set[str] | None = None
    """Digests of the packages that its child processes have; None: all."""
    shadowed: list[tuple[AnalysisRequest, str]] = field(default_factory=list)
    shadow_summary: AnalysisSummary = SHADOW_SUMMARY
    before_shadow: Callable[[AnalysisRequest], None] = lambda _: None
    monitored: Callable[[AnalysisRequest], Monitored | None] = lambda _: None
    requests: list[AnalysisRequest] = field(default_factory=list)

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        self.analysed.append(request.job_key)
        self.requests.append(request)
        self.before(request)
        (request.folder / "result").write_text("no findings")
        return AnalysisSummary(
            outcome=Outcome.NO_FINDINGS,
            headline="No findings",
            triage=self.triage,
            flags=request.caveats,
            monitored=self.monitored(request),
        )

    def runs(self, package: PackageIdentity) -> bool:
        return self.has is None or package.sha256 in self.has

    def shadow(self, request: AnalysisRequest, key: str) -> AnalysisSummary:
        self.shadowed.append((request, key))
        self.before_shadow(request)
        (request.folder / "result").write_text("shadow")
        return self.shadow_summary

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        self.refused.append((request.job_key, tuple(reason.code for reason in reasons)))
        (request.folder / "result").write_text("not analysed")
        return AnalysisSummary(outcome=Outcome.NOT_ANALYSED, headline="NOT ANALYSED", refusals=tuple(reasons))

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        self.encoded.append(request)
        path = request.analysis.folder / "sr.dcm"
        path.write_text((request.analysis.folder / "result").read_text())
        uid = f"2.25.{int(request.analysis.job_key.replace('-', ''), 16)}"
        return (ResultObject(kind="sr", sop_class_uid=SR, sop_instance_uid=uid, path=path),)

    def reject(self, request: RejectRequest) -> ResultObject:
        self.rejected.append(request)
        path = request.analysis.folder / "objects" / f"{request.sop_instance_uid}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(item.sop_instance_uid for item in request.rejected))
        uid = request.sop_instance_uid
        return ResultObject(kind="rejection_note", sop_class_uid=KOS, sop_instance_uid=uid, path=path)


@dataclass
class FolderDestination:
    """An archive that is a folder: one file per SOP Instance UID, with the number of times that it came."""

    name: str
    folder: Path
    down: bool = False
    status: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, objects: Sequence[EncodedObject]) -> Mapping[str, int | None]:
        if self.down:
            raise DestinationUnreachableError("down")
        with self._lock:
            return {item.sop_instance_uid: self._take(item) for item in objects}

    def echo(self) -> None:
        if self.down:
            raise DestinationUnreachableError("down")

    def interrupt(self) -> None:
        self.down = True

    def stored(self) -> dict[str, int]:
        return {path.name: len(path.read_text()) for path in self.folder.iterdir()}

    def _take(self, item: EncodedObject) -> int:
        if self.status == 0:
            with (self.folder / item.sop_instance_uid).open("a") as stream:
                stream.write("x")
        return self.status


def ct_dataset(study: int, number: int, *, description: str = "", pixel: int = 0) -> Dataset:
    """Make a small CT slice."""
    dataset = Dataset()
    dataset.SOPClassUID = CT
    dataset.SOPInstanceUID = f"1.2.826.0.1.{study}.1.{number}"
    dataset.Modality = "CT"
    dataset.StudyDescription = description
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientID = f"P{study}"
    dataset.AccessionNumber = f"A{study}"
    dataset.StudyInstanceUID = f"1.2.826.0.1.{study}"
    dataset.SeriesInstanceUID = f"1.2.826.0.1.{study}.1"
    dataset.InstanceNumber = number
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 2, 2, 16, 16, 15
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    dataset.PixelData = bytes([pixel] * 8)
    dataset["PixelData"].VR = "OW"
    return dataset


def incoming(dataset: Dataset, /, **changes: Any) -> IncomingInstance:
    """Hand a data set over as a transport does, in two chunks."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    encoded = buffer.getvalue()
    values: dict[str, Any] = {
        "peer": "ct",
        "calling_ae": "CT1",
        "sop_class_uid": str(dataset.SOPClassUID),
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "transfer_syntax_uid": str(ExplicitVRLittleEndian),
        "dataset": (encoded[:100], memoryview(encoded[100:])),
    }
    return IncomingInstance(**{**values, **changes})
