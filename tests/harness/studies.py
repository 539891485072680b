# SPDX-License-Identifier: Apache-2.0
"""Small valid CR, MG and CT studies and results of all outcomes, made from nothing."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid

from service.codes import code, dcm, private, sct
from service.domain.image import SlicePlane
from service.domain.instance import Instance
from service.domain.result import (
    AlgorithmRun,
    CompositeFinding,
    Evaluation,
    FeatureRelation,
    Finding,
    Heatmap,
    LabelMap,
    Mark,
    Measurement,
    OperatingPoint,
    Outcome,
    PackageIdentity,
    PackageStatus,
    PipelineResult,
    Presence,
    Priority,
    Reason,
    Region,
    RenderingIntent,
    RunKind,
    RunStatus,
    Segment,
    SourceSlice,
    Triage,
    ValueMap,
)
from service.ports import PriorObject, ResultContext
from service.results.object.identifiers import sr_series_instance_uid

SOP_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
}
PIPELINES = {"CR": "pneumoconiosis", "MG": "mammography", "CT": "diffuse_lung"}
FOUND = {"CR": dcm("112126"), "MG": sct("129793001"), "CT": dcm("112120")}
"""What a finding of the harness is, by modality: small rounded opacities, a mass candidate, ground glass opacity."""
ROWS, COLUMNS = {"CR": 256, "MG": 256, "CT": 128}, {"CR": 224, "MG": 128, "CT": 128}
ANALYSED_AT = datetime(2026, 7, 1, 9, 30, 15, 250000, tzinfo=timezone(timedelta(hours=9)))


def uid(*parts: object) -> str:
    return str(generate_uid(prefix="1.2.826.0.1.3680043.8.498.", entropy_srcs=[str(part) for part in parts]))


def source_dataset(modality: str, number: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = SOP_CLASSES[modality]
    dataset.SOPInstanceUID = uid(modality, number)
    dataset.StudyInstanceUID = uid(modality, "study")
    dataset.SeriesInstanceUID = uid(modality, "series")
    dataset.Modality = modality
    dataset.PatientName = "Test^Patient"
    dataset.PatientID = "T-0001"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "F"
    dataset.PatientAge = "066Y"
    dataset.StudyDate, dataset.StudyTime = "20260701", "085900"
    dataset.StudyID, dataset.AccessionNumber = "S1", "A1"
    dataset.StudyDescription = "Chest examination"
    dataset.ReferringPhysicianName = "Doctor^Referring"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.Rows, dataset.Columns = ROWS[modality], COLUMNS[modality]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = ("40", "400") if modality == "CT" else ("2048", "4096")
    dataset.BodyPartExamined = "BREAST" if modality == "MG" else "CHEST"
    _add_modality_attributes(dataset, number)
    return dataset


def _add_modality_attributes(dataset: Dataset, number: int) -> None:
    if dataset.Modality == "MG":
        dataset.ImageLaterality = "R" if number % 2 else "L"
        dataset.ViewPosition = "CC"
        dataset.ImagerPixelSpacing = [0.4, 0.4]
        dataset.PatientOrientation = ["P", "L"]
    elif dataset.Modality == "CR":
        dataset.ViewPosition = "PA"
        dataset.ImagerPixelSpacing = [1.4, 1.4]
        dataset.PatientOrientation = ["L", "F"]
    else:
        dataset.FrameOfReferenceUID = uid("frame of reference")
        dataset.PositionReferenceIndicator = ""
        dataset.ImagePositionPatient = [-160, -160, -10 * number]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [2.5, 2.5]
        dataset.SliceThickness = 1
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"


def stored(dataset: Dataset, folder: Path) -> Instance:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    folder.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return instance_of(dataset, path)


def instance_of(dataset: Dataset, path: Path) -> Instance:
    return Instance(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        path=path,
        sha256="0" * 64,
        size_bytes=path.stat().st_size,
    )


NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
CHARACTER_SETS: dict[str, tuple[str | list[str] | None, str]] = {
    "none": (None, "Yamada^Tarou"),
    "latin": ("ISO_IR 100", "Müller^Jürgen"),
    "kanji": (["", "ISO 2022 IR 87"], NAME),
    "kana and kanji": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "kana": ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "utf-8": ("ISO_IR 192", NAME),
}
"""Specific Character Set (0008,0005), and a patient's name in it."""


def named_sources(modality: str, character_set: str, folder: Path) -> tuple[Instance, ...]:
    """Two images of a patient whose name is written in one of CHARACTER_SETS."""
    declared, name = CHARACTER_SETS[character_set]
    datasets = [source_dataset(modality, number) for number in (1, 2)]
    for dataset in datasets:
        dataset.PatientName = name
        if declared is not None:
            dataset.SpecificCharacterSet = declared
    return tuple(stored(dataset, folder) for dataset in datasets)


def prior_report(sop_instance_uid: str) -> PriorObject:
    """A report of an earlier result, which a destination has."""
    return PriorObject(
        kind="sr",
        sop_class_uid=str(ComprehensiveSRStorage),
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=sr_series_instance_uid(sop_instance_uid),
    )


def context_of(*instances: Instance, **changes: Any) -> ResultContext:
    context = ResultContext(sources=instances, revision=1, priority=Priority.ROUTINE)
    return replace(context, **changes)


def anatomy(rows: int, columns: int) -> NDArray[np.uint8]:
    """Something like a chest: bright body, two dark lungs, ribs."""
    y, x = np.mgrid[0:rows, 0:columns] / np.array((rows, columns)).reshape(2, 1, 1)
    body = 200 * np.exp(-(((x - 0.5) / 0.42) ** 4) - ((y - 0.55) / 0.6) ** 6)
    for center in (0.3, 0.7):
        body -= 130 * np.exp(-(((x - center) / 0.15) ** 4) - ((y - 0.5) / 0.32) ** 4)
    return (body + 12 * np.sin(y * 60) * (body > 40)).clip(0, 255).astype(np.uint8)


def hot_spot(rows: int, columns: int, *, x: float = 0.3, y: float = 0.35) -> NDArray[np.float32]:
    yy, xx = np.mgrid[0:rows, 0:columns] / np.array((rows, columns)).reshape(2, 1, 1)
    spot = np.exp(-(((xx - x) / 0.1) ** 2) - ((yy - y) / 0.09) ** 2)
    return np.where(spot > 0.05, spot, 0).astype(np.float32)


def heatmap_of(modality: str, source: Instance, key: str = "map-1") -> Heatmap:
    rows, columns = ROWS[modality], COLUMNS[modality]
    is_ct = modality == "CT"
    return Heatmap(
        key=key,
        source_sop_instance_uid=source.sop_instance_uid,
        base=anatomy(rows, columns),
        overlay=hot_spot(rows, columns),
        legend="Model evidence, relative",
        patient_orientation=("L", "P") if is_ct else ("L", "F"),
        pixel_spacing_mm=(2.5, 2.5) if is_ct else (1.4, 1.4),
        position_mm=(-160.0, -160.0, -10.0) if is_ct else None,
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0) if is_ct else None,
        marks=(Mark(points=((40.0, 60.0), (90.0, 60.0), (90.0, 110.0), (40.0, 110.0)), caption="1: 87 %"),),
        lines=("Upper zone right: 1/2", "Shape: q/q"),
        explanation=dcm("130402"),
    )


def findings_of(source: Instance, presence: Presence, modality: str = "CR") -> tuple[Finding, ...]:
    return (
        Finding(
            key="zone-RU",
            label="Right upper zone: profusion 1/2",
            finding=FOUND[modality],
            presence=presence,
            region=Region.box(source.sop_instance_uid, x0=10, y0=20, x1=60.5, y1=80),
            site=sct("39607008"),
            laterality=sct("24028007"),
            score=0.8734,
            measurements=(Measurement(name=private("EXT-PCT"), value=12.5, unit=code("UCUM", "%")),),
            evaluations=(Evaluation(name=dcm("112151"), value=private("ILO-PROF-1/2")),),
        ),
        Finding(
            key="zone-LU",
            label="Left upper zone",
            finding=FOUND[modality],
            presence=presence,
            region=Region(sop_instance_uid=source.sop_instance_uid, points=((70, 20), (110, 25), (90, 60))),
            laterality=sct("7771000"),
        ),
    )


def cad_result_of(sources: tuple[Instance, ...], **changes: Any) -> PipelineResult:
    """Return a positive mammogram with all that a CAD report can say: two marks, a candidate, and a mass made of both.

    The package has a floor below its display threshold.
    """
    positive = result_of("MG", sources, Outcome.FINDINGS)
    region = Region.box(sources[1].sop_instance_uid, x0=5, y0=5, x1=25, y1=30)
    optional = {"rendering": RenderingIntent.OPTIONAL, "score": 0.3, "peak": (20.0, 12.5)}
    candidate = replace(positive.findings[0], key="candidate-1", region=region, **optional)
    mass = CompositeFinding(
        key="mass-1",
        label="Mass on two views",
        finding=sct("129788004"),
        relation=FeatureRelation.SPATIAL,
        members=("zone-RU", "candidate-1"),
        score=0.6,
    )
    result = replace(
        positive,
        candidates=(candidate,),
        composites=(mass,),
        mark_points=(
            OperatingPoint(name="display", threshold=0.5),
            OperatingPoint(name="candidate", threshold=0.25),
        ),
        runs=runs_of_exam(sources),
    )
    return replace(result, **changes)


def runs_of_exam(sources: tuple[Instance, ...], *failed: Instance) -> tuple[AlgorithmRun, ...]:
    """Return the runs of an exam whose detector failed on some views; the exam score is then incomplete."""
    read = [source for source in sources if source not in failed]
    succeeded, lost = RunStatus.SUCCEEDED, RunStatus.FAILED
    parts = [(RunKind.DETECTION, succeeded, read), (RunKind.DETECTION, lost, list(failed))]
    parts.append((RunKind.ANALYSIS, lost if failed else succeeded, read))
    return tuple(
        AlgorithmRun(
            kind=kind,
            subject=sct("129793001") if kind is RunKind.DETECTION else dcm("111234"),
            status=status,
            sop_instance_uids=tuple(view.sop_instance_uid for view in views),
        )
        for kind, status, views in parts
        if views
    )


def label_map_of(sources: tuple[Instance, ...], *, with_findings: bool) -> LabelMap:
    """Two lungs on every slice, and in the right one, on the first slice, the extent of the first finding."""
    labels = np.zeros((len(sources), ROWS["CT"], COLUMNS["CT"]), dtype=np.uint8)
    labels[:, 30:90, 20:58], labels[:, 30:90, 70:108] = 1, 2
    labels[0, 40:60, 25:45] = 3 if with_findings else 1
    lung, abnormal = sct("91723000"), sct("49755003")
    right, left = sct("24028007"), sct("7771000")
    segments = [
        Segment(
            key=f"lung-{name}",
            group="lungs",
            label=f"{name} lung",
            values=values,
            category=lung,
            property=sct("39607008"),
            laterality=side,
        )
        for name, values, side in (("right", (1, 3), right), ("left", (2,), left))
    ]
    pattern = Segment(
        key="zone-RU",
        group="patterns",
        label="Ground glass",
        values=(3,),
        category=abnormal,
        property=dcm("112120"),
    )
    return LabelMap(
        labels=labels,
        slices=tuple(SourceSlice(sop_instance_uid=source.sop_instance_uid) for source in sources),
        segments=(*segments, pattern) if with_findings else tuple(segments),
    )


def value_map_of(sources: tuple[Instance, ...]) -> ValueMap:
    """Sixteen tiles across each slice of `source_dataset`; the first tile was not measured."""
    values = np.linspace(0, 1, len(sources) * 256, dtype=np.float32).reshape(len(sources), 16, 16)
    values[0, 0, 0] = np.nan
    return ValueMap(
        key="abnormality",
        label="1 - p(normal lung) per tile",
        values=values,
        value_range=(0.0, 1.0),
        slices=tuple(SourceSlice(sop_instance_uid=source.sop_instance_uid) for source in sources),
        planes=tuple(
            SlicePlane(position_mm=(-151.25, -151.25, -10.0 * number), orientation=(1, 0, 0, 0, 1, 0))
            for number in range(1, len(sources) + 1)
        ),
        pixel_spacing_mm=(20.0, 20.0),
        quantity=private("DLD-ABNORMAL"),
        unit=code("UCUM", "1"),
    )


PACKAGE = PackageIdentity(
    name="pneumoconiosis-demo",
    version="0.1.0",
    sha256="0123456789abcdef" * 4,
    status=PackageStatus.DEMONSTRATION,
    title="Demonstration",
)
REFUSAL = Reason(
    code="lateral_view",
    message="(0018,5101) 'View Position' value 'LL' is not supported; the pipeline accepts PA and AP",
)


def result_of(modality: str, sources: tuple[Instance, ...], outcome: Outcome, **changes: Any) -> PipelineResult:
    analysed = outcome is not Outcome.NOT_ANALYSED
    partly = outcome in {Outcome.NOT_ANALYSED, Outcome.PARTLY_ANALYSED}
    presence = Presence.ABSENT if outcome is Outcome.NO_FINDINGS else Presence.PRESENT
    headlines = {
        Outcome.FINDINGS: "Small opacities likely, profusion 1/2 (q/q), right upper zone",
        Outcome.NO_FINDINGS: "No small opacities found (profusion 0/0)",
        Outcome.PARTLY_ANALYSED: "Partly analysed: 1 of 2 images",
        Outcome.NOT_ANALYSED: "Not analysed: lateral view",
    }
    result = PipelineResult(
        pipeline=PIPELINES[modality],
        study_instance_uid=sources[0].study_instance_uid,
        outcome=outcome,
        headline=headlines[outcome],
        package=PACKAGE if analysed else None,
        input_sop_instance_uids=tuple(sorted(source.sop_instance_uid for source in sources)),
        analysed_at=ANALYSED_AT,
        findings=findings_of(sources[0], presence, modality) if analysed else (),
        heatmaps=(heatmap_of(modality, sources[0]),) if analysed else (),
        label_map=label_map_of(sources, with_findings=outcome is not Outcome.NO_FINDINGS)
        if analysed and modality == "CT"
        else None,
        value_maps=(value_map_of(sources),) if analysed and modality == "CT" else (),
        refusals=(REFUSAL,) if partly else (),
        flags=(Reason(code="low_exposure", message="Exposure index 120 is below 200; noise may hide small opacities"),),
        triage=Triage(score=0.87, operating_point="high", threshold=0.5, above_operating_point=True)
        if analysed
        else None,
        summary=("Six zones read", "Score of the study 0.87 (uncalibrated)") if analysed else (),
    )
    return replace(result, **changes)
