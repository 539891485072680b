# SPDX-License-Identifier: Apache-2.0
"""A hospital changes a model while studies come in: the program, real senders, a real archive."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from typer.testing import CliRunner

from chaos.studies import film_studies
from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.packages import NAME, PIPELINE, copy_package, spoil_golden
from harness.processes import wait_until
from service.cli.app import app

pytestmark = pytest.mark.peers

StartNode = Callable[..., NodeProgram]
SR = "1.2.840.10008.5.1.4.1.1.88.33"


def pipelines(version: str, **more: object) -> dict[str, object]:
    return {PIPELINE: {"package": NAME, "version": version, **more}}


def reload(node: NodeProgram, version: str, **more: object) -> dict[str, object]:
    """Change the package as a person does, and return what the log says of it."""
    before = len(node.events("configuration_reloaded"))
    node.change({"pipelines": pipelines(version, **more)})
    assert CliRunner().invoke(app, ["reload", str(node.config)]).exit_code == 0
    wait_until(lambda: len(node.events("configuration_reloaded")) > before, seconds=120, what="the reload does not end")
    return node.events("configuration_reloaded")[-1]


def test_a_model_changes_while_studies_come_in(orthanc: Orthanc, start_node: StartNode, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    for version in ("1.0.0", "2.0.0"):
        copy_package(packages, version)
    spoil_golden(copy_package(packages, "3.0.0"))
    node = start_node(
        orthanc,
        pipelines=pipelines("1.0.0"),
        rules=[{"name": "film", "when": {"attribute": "Modality", "in": ["CR", "DX"]}, "pipelines": [PIPELINE]}],
        inference={"packages_folder": str(packages)},
    )
    studies = film_studies(tmp_path / "films", count=10)
    for study in studies[:8]:
        assert dcmsend(node.called, study.files).returncode == 0
    assert reload(node, "2.0.0")["result"] == "applied"
    assert dcmsend(node.called, studies[8].files).returncode == 0
    rejected = reload(node, "3.0.0")
    assert (rejected["result"], rejected["kept"]) == ("partly", [PIPELINE])
    assert dcmsend(node.called, studies[9].files).returncode == 0
    node.wait_for_results(10, seconds=240)

    made = (
        "select study.study_instance_uid, package_version, crashes, outcome from job join study on study.id = study_id"
    )
    with node.journal() as connection:
        rows = {row[0]: tuple(row)[1:] for row in connection.execute(sa.text(made))}
    versions = [rows[study.study_instance_uid][0] for study in studies]
    assert versions[0] == "1.0.0"
    assert versions[8:] == ["2.0.0", "2.0.0"]
    assert all(row[1:] == (0, "no_findings") for row in rows.values())
    # What the ledger says of the package, the result says too.
    for path in orthanc.save_files(tmp_path / "results"):
        result = dcmread(path)
        if result.SOPClassUID == SR:
            assert rows[result.StudyInstanceUID][0] in str(result.ContentSequence), result.StudyInstanceUID
    status, page = node.http("/metrics")
    assert status == 200
    assert 'dokuei_config_reloads_total{result="partly"} 1.0' in page
    assert "dokuei_config_last_reload_successful 0.0" in page


def test_the_command_needs_a_node(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"storage: {{folder: {tmp_path / 'data'}}}\nsite: {{allow_demonstration: true}}\n"
        "destinations: [{name: a, ae_title: A, host: h, port: 1}]\n"
    )
    answer = CliRunner().invoke(app, ["reload", str(config)])
    assert "no node uses storage.folder" in str(answer.exception)
