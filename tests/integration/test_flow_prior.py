# SPDX-License-Identifier: Apache-2.0
"""A study is analysed with the latest older one of its patient at hand."""

from pathlib import Path

from fakes import PACKAGE, FakeAnalyst, ct_dataset, incoming
from node import Node, running
from service.ports import AnalysisRequest, StoreOutcome


def send(node: Node, study: int, date: str, patient: str = "P") -> None:
    for number in (1, 2):
        dataset = ct_dataset(study, number)
        dataset.PatientID, dataset.StudyDate = patient, date
        assert node.receive(incoming(dataset)) is StoreOutcome.STORED
    node.wait(lambda: node.rows("select state from job") == [("finished",)] * study)


def test_the_prior_is_handed_to_the_analysis(tmp_path: Path, database_url: str | None) -> None:
    requests: list[AnalysisRequest] = []
    analyst = FakeAnalyst(before=requests.append)
    with running(tmp_path, analyst=analyst, database_url=database_url) as node:
        send(node, 1, "20240301")
        send(node, 2, "20250601", patient="Q")
        send(node, 3, "20250601")
    first, stranger, second = requests
    assert first.prior is None
    assert stranger.prior is None
    prior = second.prior
    assert prior is not None
    assert (prior.study_instance_uid, prior.study_date) == (first.study_instance_uid, "20240301")
    assert (prior.package, prior.folder) == (PACKAGE.identity, first.folder)
    assert all(request.analysis.prior is None for request in analyst.encoded), "results are read from the record"
