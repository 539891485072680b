# SPDX-License-Identifier: Apache-2.0
"""Real chest CT, CR and MG files through the whole node: each ends in a result or in a reasoned refusal in Orthanc."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.real import RealStudy, real_studies
from service.results.gate import Gate

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.peers,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # odd values of real sources are copied as they are
]


def test_every_accepted_real_file_ends_in_a_result_or_a_reasoned_refusal(
    real_data_folder: Path, orthanc: Orthanc, start_node: Callable[..., NodeProgram], tmp_path: Path
) -> None:
    node = start_node(orthanc, rules=RULES)
    studies = real_studies(real_data_folder, tmp_path)
    sent = [study for study in studies if dcmsend(node.called, study.files).returncode == 0]
    received = sum(event["outcome"] == "stored" for event in node.events("instance_received"))
    assert received >= 60
    stored = {uid: row for uid, row in node.wait_until_idle(seconds=800).items() if row.pipeline}
    assert not node.events("worker_restarted"), "a file crashed a child process"

    saved = orthanc.save_files(tmp_path / "results")
    headers = [(path, dcmread(path, stop_before_pixels=True)) for path in saved]
    analysed = [study for study in sent if stored.get(study.study_instance_uid)]
    assert len(analysed) >= 40
    for study in analysed:
        row = stored[study.study_instance_uid]
        mine = [path for path, header in headers if header.StudyInstanceUID == study.study_instance_uid]
        assert mine, study.name
        assert row.outcome in {"findings", "no_findings", "partly_analysed", "not_analysed"}, study.name
        if row.outcome == "not_analysed":
            assert_reason_is_told(mine, study)
    assert {row.outcome for row in stored.values()} > {"not_analysed"}
    with Gate() as gate:  # the programs check one object while the rules look at the next
        for path, problems in [(path, gate.begin(path)) for path in saved]:
            assert problems() == (), path  # errors of the sources' own values aside, dciodvfy and DCMTK agree


RULES = [
    {"name": "films", "when": {"attribute": "Modality", "in": ["CR", "DX", "RG"]}, "pipelines": ["pneumoconiosis"]},
    {"name": "ct", "when": {"attribute": "Modality", "equals": "CT"}, "pipelines": ["diffuse_lung"]},
    {"name": "mg", "when": {"attribute": "Modality", "equals": "MG"}, "pipelines": ["mammography"]},
]


UNDETERMINED = "373068000"
NO_ALGORITHM_SUCCEEDED = "111245"
MAMMOGRAPHY_CAD_SR = "1.2.840.10008.5.1.4.1.1.88.50"


def assert_reason_is_told(paths: list[Path], study: RealStudy) -> None:
    """A picture says so, and the report cannot look negative: presence is undetermined, a comment gives the reason."""
    reports = [dataset for dataset in map(dcmread, paths) if dataset.Modality == "SR"]
    assert len(reports) < len(paths), f"{study.name}: no picture says that it was not analysed"
    for report in reports:
        codes = {str(element.value) for element in report.iterall() if element.keyword == "CodeValue"}
        if report.SOPClassUID == MAMMOGRAPHY_CAD_SR:
            assert NO_ALGORITHM_SUCCEEDED in codes, study.name
            continue
        texts = " ".join(str(element.value) for element in report.iterall() if element.keyword == "TextValue")
        assert UNDETERMINED in codes, study.name
        assert "not analysed" in texts.lower(), texts
