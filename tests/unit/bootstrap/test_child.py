# SPDX-License-Identifier: Apache-2.0
"""What the child says it has kept is on stable storage."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.studies import result_of
from service.bootstrap.child import Child, with_caveats, with_context
from service.bootstrap.messages import REASONS, REQUEST, SUMMARY
from service.domain.drift import Monitored
from service.domain.instance import Instance
from service.domain.population import Population
from service.domain.result import Outcome, Priority, Reason, Triage
from service.ports import AnalysisRequest


def request(folder: Path) -> AnalysisRequest:
    instance = Instance(
        sop_instance_uid="1.2.3",
        sop_class_uid="1.2",
        study_instance_uid="1.2",
        series_instance_uid="1.2.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=folder / "x.dcm",
        sha256="a",
        size_bytes=1,
        attributes={},
    )
    return AnalysisRequest(
        job_key="k",
        pipeline="mammography",
        package=None,
        study_instance_uid="1.2",
        instances=(instance,),
        flags=(),
        folder=folder,
        analysed_at=datetime(2026, 1, 1, tzinfo=UTC),
        priority=Priority.ROUTINE,
    )


def test_the_name_of_a_result_is_flushed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a power cut leaves a ledger that names a file which is not there."""
    flushed: list[int] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    reasons = REASONS.dump_python((Reason(code="c", message="m"),), mode="json")
    Child({})({"task": "refuse", "request": REQUEST.dump_python(request(tmp_path), mode="json"), "reasons": reasons})
    assert tmp_path.stat().st_ino in flushed


CAVEAT = Reason(code="performance_not_assured", message="m")


def test_a_caveat_is_a_flag_of_whatever_was_analysed(tmp_path: Path) -> None:
    asked = replace(request(tmp_path), caveats=(CAVEAT,))
    flag = Reason(code="partial_view", message="p")
    result = replace(result_of("MG", asked.instances, Outcome.FINDINGS), flags=(flag,))
    assert with_caveats(result, asked).flags == (flag, CAVEAT)
    assert with_caveats(result, request(tmp_path)).flags == (flag,)
    refused = result_of("MG", asked.instances, Outcome.NOT_ANALYSED)
    assert with_caveats(refused, asked) is refused


def test_an_exam_is_ranked_among_those_that_the_request_brings(tmp_path: Path) -> None:
    among = Population(exams=400, cuts=tuple(tenth / 10 for tenth in range(1, 10)))
    sent = REQUEST.dump_python(replace(request(tmp_path), population=among, caveats=(CAVEAT,)), mode="json")
    asked = REQUEST.validate_python(sent)
    triage = Triage(score=0.85, operating_point="t", threshold=0.5, above_operating_point=True)
    result = replace(result_of("MG", asked.instances, Outcome.FINDINGS), pipeline="mammography", triage=triage)
    found = with_context(result, asked)
    assert found.values["decile"] == 9
    assert "decile 9 of 400 exams" in found.summary[-1]
    assert found.flags == (*result.flags, CAVEAT)


def test_a_refusal_is_counted_without_a_look_at_the_pixels(tmp_path: Path) -> None:
    reasons = REASONS.dump_python((Reason(code="c", message="m"),), mode="json")
    task = {"task": "refuse", "request": REQUEST.dump_python(request(tmp_path), mode="json"), "reasons": reasons}
    summary = SUMMARY.validate_python(Child({})(task)["summary"])
    assert summary.monitored == Monitored(words={"outcome": "not_analysed"})
