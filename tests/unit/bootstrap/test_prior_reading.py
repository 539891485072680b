# SPDX-License-Identifier: Apache-2.0
"""What a pipeline is told of the prior study, and that a prior that cannot be read is said."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.bootstrap.messages import REQUEST
from service.bootstrap.prior import UNREADABLE, selection_of
from service.domain.record import ARRAYS_FILE, RESULT_FILE, save_result
from service.domain.result import Outcome, PackageIdentity, PackageStatus, PipelineResult, Priority, Reason
from service.ports import AnalysisRequest, PriorAnalysis

PACKAGE = PackageIdentity(name="p", version="1", sha256="a" * 64, status=PackageStatus.RESEARCH)
FLAG = Reason(code="c", message="m")


def request(folder: Path) -> AnalysisRequest:
    prior = PriorAnalysis(study_instance_uid="1.2", study_date="20240301", package=PACKAGE, folder=folder / "prior")
    return AnalysisRequest(
        job_key="k",
        pipeline="diffuse_lung",
        package=PACKAGE,
        study_instance_uid="1.3",
        instances=(),
        flags=(FLAG,),
        folder=folder / "now",
        analysed_at=datetime(2026, 1, 1, tzinfo=UTC),
        priority=Priority.ROUTINE,
        prior=prior,
    )


@pytest.fixture
def stored(tmp_path: Path) -> AnalysisRequest:
    result = PipelineResult(
        pipeline="diffuse_lung",
        study_instance_uid="1.2",
        outcome=Outcome.NO_FINDINGS,
        headline="h",
        package=PACKAGE,
        input_sop_instance_uids=("1.2.1",),
        analysed_at=datetime(2024, 3, 1, tzinfo=UTC),
        values={"percent": {"normal": 99.5}},
    )
    save_result(result, tmp_path / "prior")
    return request(tmp_path)


def test_a_pipeline_is_told_the_numbers_of_the_prior(stored: AnalysisRequest) -> None:
    sent = REQUEST.validate_python(REQUEST.dump_python(stored, mode="json"))
    assert sent == stored, "it survives the way to the child process"
    (stored.prior.folder / ARRAYS_FILE).unlink()  # type: ignore[union-attr]
    selection = selection_of(sent)
    prior = selection.prior
    assert prior is not None
    assert (prior.study_instance_uid, prior.study_date, prior.package) == ("1.2", "20240301", PACKAGE)
    assert (prior.outcome, prior.values) == (Outcome.NO_FINDINGS, {"percent": {"normal": 99.5}})
    assert selection.flags == (FLAG,)


def test_without_a_prior_nothing_is_said(stored: AnalysisRequest) -> None:
    selection = selection_of(replace(stored, prior=None))
    assert (selection.prior, selection.flags) == (None, (FLAG,))


@pytest.mark.parametrize("damage", ["absent", "cut", "format", "study", "outcome", "list"])
def test_a_prior_that_cannot_be_read_is_a_flag(stored: AnalysisRequest, damage: str) -> None:
    assert stored.prior is not None
    path = stored.prior.folder / RESULT_FILE
    document = json.loads(path.read_text())
    texts = {
        "absent": None,
        "cut": path.read_text()[:100],
        "format": json.dumps({**document, "format": 0}),
        "study": json.dumps({**document, "result": {**document["result"], "study_instance_uid": "9"}}),
        "outcome": json.dumps({**document, "result": {**document["result"], "outcome": "fine"}}),
        "list": "[]",
    }
    path.unlink()
    if texts[damage] is not None:
        path.write_text(str(texts[damage]))
    selection = selection_of(stored)
    assert selection.prior is None
    assert selection.flags == (FLAG, UNREADABLE)
