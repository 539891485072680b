# SPDX-License-Identifier: Apache-2.0
"""What the child writes: an encoder that fails costs its own objects and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from harness.inprocess import InProcessAnalyst
from harness.studies import ANALYSED_AT, result_of, source_dataset, stored
from service.bootstrap import encoding
from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile, ReportClass, profile_key
from service.domain.record import load_result, save_result
from service.domain.result import Outcome, Priority, Reason
from service.ports import AnalysisRequest, EncodeRequest, ObjectSet, ResultKind
from service.results import ENCODERS, gate

OTHER = EncodingProfile(report_class=ReportClass.COMPREHENSIVE_3D)


def request(source: Instance, folder: Path, *profiles: EncodingProfile) -> EncodeRequest:
    folder.mkdir(exist_ok=True)
    save_result(result_of("CR", (source,), Outcome.FINDINGS), folder)
    analysis = AnalysisRequest(
        job_key="k",
        pipeline="pneumoconiosis",
        package=None,
        study_instance_uid=source.study_instance_uid,
        instances=(source,),
        flags=(),
        folder=folder,
        analysed_at=ANALYSED_AT,
        priority=Priority.ROUTINE,
    )
    sets = tuple(ObjectSet(profile=profile, kinds=("sr", "heatmap")) for profile in profiles)
    return EncodeRequest(analysis=analysis, revision=1, sets=sets)


def broken(*_: object) -> tuple[()]:
    raise ZeroDivisionError("Yamada^Taro")


def test_an_encoder_that_fails_is_held_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ENCODERS", {**ENCODERS, ResultKind.HEATMAP: broken})
    analyst = InProcessAnalyst()
    source = stored(source_dataset("CR"), tmp_path / "source")
    *reports, picture = analyst.encode(request(source, tmp_path / "job", DEFAULT_PROFILE))
    assert {(report.kind, report.problems) for report in reports} == {("sr", ())}
    assert picture.kind == "heatmap"
    assert picture.problems[0].startswith("the encoder failed: ZeroDivisionError at test_encoding.py:")
    assert "Yamada" not in str(picture) + str(analyst.events)
    assert {"event": "ObjectHeld", "study_key": "", "kind": "heatmap", "reason": "encoder"} in analyst.events


def full(*_: object) -> tuple[()]:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_fault_of_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "ENCODERS", {**ENCODERS, ResultKind.HEATMAP: full})
    source = stored(source_dataset("CR"), tmp_path / "source")
    with pytest.raises(OSError, match="No space"):
        InProcessAnalyst().encode(request(source, tmp_path / "job", DEFAULT_PROFILE))


def test_profiles_have_objects_of_their_own_and_a_second_time_the_same_bytes(tmp_path: Path) -> None:
    source = stored(source_dataset("CR"), tmp_path / "source")
    wanted, analyst = request(source, tmp_path / "job", DEFAULT_PROFILE, OTHER), InProcessAnalyst()
    objects = analyst.encode(wanted)
    first = {item.sop_instance_uid: (item.profile, item.path.read_bytes()) for item in objects}
    again = {item.sop_instance_uid: (item.profile, item.path.read_bytes()) for item in analyst.encode(wanted)}
    assert first == again
    assert len(first) == len(objects)
    assert len({(item.profile, item.slot or item.kind) for item in objects}) == 4
    assert {key for key, _ in first.values()} == {"", profile_key(OTHER)}


def test_what_is_left_out_of_a_source_is_told(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    item = Dataset()
    item.PatientID = "X"
    dataset.OtherPatientIDsSequence = [item]
    source, analyst = stored(dataset, tmp_path / "source"), InProcessAnalyst()
    objects = analyst.encode(request(source, tmp_path / "job", DEFAULT_PROFILE))
    assert all(not entry.problems for entry in objects)
    assert "OtherPatientIDsSequence" not in dcmread(objects[0].path)
    assert {"event": "SourceItemsLeftOut", "study_key": "", "sequences": ("OtherPatientIDsSequence",)} in analyst.events


def test_the_reasons_for_holding_name_no_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "OBJECT_RULES", (lambda _dataset: ["'PatientName' value 'Yamada^Taro' is bad"],))
    monkeypatch.setattr(gate, "rules_of", lambda _dataset: ())
    source, analyst = stored(source_dataset("CR"), tmp_path / "source"), InProcessAnalyst()
    objects = analyst.encode(request(source, tmp_path / "job", DEFAULT_PROFILE))
    assert {entry.problems for entry in objects} == {("PatientName value … is bad",)}
    assert "Yamada^Taro" in objects[0].path.with_suffix(".held.txt").read_text()


def test_a_set_with_a_refusal_says_that_nothing_was_analysed_and_the_others_the_result(tmp_path: Path) -> None:
    source = stored(source_dataset("CR"), tmp_path / "source")
    wanted = request(source, tmp_path / "job", DEFAULT_PROFILE, OTHER)
    reason = Reason(code="encoding_failed", message="the result could not be written as DICOM")
    first, second = wanted.sets
    objects = InProcessAnalyst().encode(replace(wanted, sets=(first, replace(second, refusal=(reason,)))))
    assert {item.problems for item in objects} == {()}
    reports = {item.profile: dcmread(item.path) for item in objects if item.kind == "sr" and item.rank == 0}
    said = {
        key: " ".join(item.get("TextValue", "") for item in report.ContentSequence) for key, report in reports.items()
    }
    assert f"NOT ANALYSED: {reason.message}" in said[profile_key(OTHER)]
    assert "NOT ANALYSED" not in said[""]
    assert load_result(tmp_path / "job").outcome is Outcome.FINDINGS
