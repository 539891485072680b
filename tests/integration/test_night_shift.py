# SPDX-License-Identifier: Apache-2.0
"""The night shift's commands against the program, real senders and a real archive."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from chaos.studies import film_studies
from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.processes import ENVIRONMENT, wait_until
from service.cli.app import app

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

StartNode = Callable[..., NodeProgram]
CHANGES: dict[str, Any] = {
    "peers": [
        {"name": "modality", "ae_title": "MODALITY", "address": "127.0.0.1"},
        {"name": "selftest", "ae_title": "DOKUEI_TEST", "address": "127.0.0.1", "may": ["store"]},
    ],
    "site": {"profile": "demo"},
    "pipelines": {"pneumoconiosis": {"package": "pneumoconiosis-demo", "version": "0.2.0"}},  # one is quicker to start
    "rules": [{"name": "film", "when": {"attribute": "Modality", "equals": "DX"}, "pipelines": ["pneumoconiosis"]}],
    "inference": {"workers": 1},
    "close": {"quiet_seconds": 1, "settle_seconds": 0.5},  # a film is one image: there is nothing to wait for
}


def dokuei(*arguments: object, status: int = 0) -> Any:
    """Run a command with --json and return its document."""
    answer = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert answer.exit_code == status, f"{answer.output} {answer.stderr} {answer.exception}"
    return json.loads(answer.stdout)


def readiness(node: NodeProgram) -> str:
    return node.http("/readyz")[1]


def test_a_night_with_one_node(start_orthanc: Callable[..., Orthanc], start_node: StartNode, tmp_path: Path) -> None:
    orthanc = start_orthanc(options={"DicomAlwaysAllowFind": True})
    node = start_node(orthanc, **CHANGES)
    url = f"http://127.0.0.1:{orthanc.http_port}"
    config = ("--config", node.config)

    passed = dokuei("selftest", *config, "--pipeline", "pneumoconiosis", "--orthanc", url)
    assert passed["passed"], passed
    assert passed["deleted"]
    assert [item["found"] == item["taken"] > 0 for item in passed["destinations"]] == [True]
    assert passed.keys() == {
        *("passed", "pipeline", "outcome", "seconds", "study_instance_uid", "patient_id"),
        *("images", "destinations", "deleted"),
    }
    assert orthanc.studies() == []

    dokuei("hold", "pacs", *config)
    (study, *_) = studies = film_studies(tmp_path / "films", count=2)
    assert dcmsend(node.called, study.files).returncode == 0
    wait_until(lambda: bool(node.events("result_ready")), seconds=60, what="no result")
    wait_until(lambda: dokuei("status", node.config)["queues"]["deliveries_pending"], seconds=60, what="no delivery")
    assert "a person holds the delivery to 'pacs'" in readiness(node)
    assert 'dokuei_circuit_state{destination="pacs"} 3.0' in node.http("/metrics")[1]
    assert orthanc.studies() == []
    dokuei("hold", "pacs", *config, "--release")
    node.wait_for_results(2, seconds=120)
    before = {uid: orthanc.tags(uid)["SOPInstanceUID"] for uid in orthanc.instances()}

    orthanc.request(f"/studies/{orthanc.studies()[0]}", method="DELETE")
    assert dokuei("replay", study.study_instance_uid, *config) == {"studies": 1, "asked": 1, "left_out": {}}
    wait_until(lambda: len(orthanc.instances()) == len(before), seconds=120, what="the results do not come again")
    assert {orthanc.tags(uid)["SOPInstanceUID"] for uid in orthanc.instances()} == set(before.values())

    assert dcmsend(node.called, studies[1].files).returncode == 0
    drained = dokuei("drain", *config, "--stop", "--timeout", 120)
    assert (drained["drained"], drained["stopped"], drained["waiting"]) == (True, True, {})
    assert node.wait_for_end(seconds=10) == 0
    assert {row.state for row in node.studies().values()} == {"finished"}
    assert node.events("node_draining")

    accepted = {line["association"] for line in node.events("association_accepted")}
    received = node.events("instance_received")
    assert "" not in accepted
    assert {line["association"] for line in received} <= accepted, "an image is traced from its association ..."
    delivered = {line["study_key"] for line in node.events("object_delivered")}
    assert {line["study_key"] for line in received} == delivered, "... to its delivery"


def pending_and_delivered(node: NodeProgram) -> tuple[set[tuple[Any, ...]], set[str], int]:
    """What waits, what was delivered, and how many images are named."""
    delivered = (
        "select sop_instance_uid from delivery join result_object on object_id = result_object.id "
        "where delivery.state = 'delivered'"
    )
    with node.journal() as journal:
        states = {tuple(row) for row in journal.execute(sa.text("select key, state from job"))}
        return (
            states,
            set(journal.execute(sa.text(delivered)).scalars()),
            journal.execute(sa.text("select count(*) from instance")).scalar_one(),
        )


def test_a_backup_under_load_restores_to_an_empty_host(
    orthanc: Orthanc, start_node: StartNode, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    node = start_node(orthanc, **CHANGES)
    studies = film_studies(tmp_path / "films", count=12)
    acknowledged: list[str] = []

    def load() -> None:
        for study in studies:
            if dcmsend(node.called, study.files).returncode == 0:
                acknowledged.append(study.study_instance_uid)  # noqa: PERF401 - others look at it meanwhile

    sender = threading.Thread(target=load)
    sender.start()
    wait_until(lambda: len(acknowledged) >= 4, seconds=60, what="nothing is acknowledged")
    sure = set(acknowledged)
    made = dokuei("backup", tmp_path / "backup", "--config", node.config)
    sender.join()
    assert made["missing"] == []
    node.stop()

    other = NodeProgram(tmp_path_factory.mktemp("other"), pacs=(orthanc.ae_title, orthanc.dicom_port), changes=CHANGES)
    restored = dokuei("restore", tmp_path / "backup", "--config", other.config)
    assert restored["sound"]
    states, delivered, images = pending_and_delivered(other)
    with sa.create_engine(f"sqlite:///{tmp_path}/backup/data/dokuei.db").connect() as copy:
        assert states == {tuple(row) for row in copy.execute(sa.text("select key, state from job"))}
        assert images == copy.execute(sa.text("select count(*) from instance")).scalar_one() >= len(sure)
    other.start()
    try:
        found = other.wait_until_idle(seconds=240)
        assert sure <= found.keys(), "acknowledged before the backup began, and not in it"
        assert {row.state for row in found.values()} == {"finished"}
        uids = [orthanc.tags(item)["SOPInstanceUID"] for item in orthanc.instances()]
        assert len(uids) == len(set(uids)), "a result twice"
        assert delivered <= set(uids)
    finally:
        other.stop()


CLOCK_STEP = Path(__file__).parents[1] / "harness" / "clock_step.c"


def test_the_clock_steps_an_hour_each_way_across_summer_time(
    orthanc: Orthanc, start_node: StartNode, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # 01:59 in the night in which summer time ends in Berlin: the hour from 2 to 3 comes twice.
    night = datetime(2026, 10, 25, 1, 59, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() - time.time()
    step, library = tmp_path / "step", tmp_path / "clock_step.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, CLOCK_STEP, "-ldl"], check=True)
    step.write_text(f"{night:+.0f}\n")
    node = NodeProgram(tmp_path_factory.mktemp("clock"), pacs=(orthanc.ae_title, orthanc.dicom_port), changes=CHANGES)
    node.environment = {
        **ENVIRONMENT,
        "LD_PRELOAD": str(library),
        "CLOCK_STEP": str(step),
        "TZ": "Europe/Berlin",
    }
    node.start()
    try:
        for number, (study, hours) in enumerate(zip(film_studies(tmp_path, count=4), (0, 1, -1, 0), strict=True), 1):
            step.write_text(f"{night + 3600 * hours:+.0f}\n")
            started = time.monotonic()
            assert dcmsend(node.called, study.files).returncode == 0
            node.wait_for_results(number, seconds=100)
            assert time.monotonic() - started < 90, "a timer waited for the clock"
        check_no_negative(node.http("/metrics")[1])
        assert all(line["timestamp"].endswith("Z") for line in node.events("result_ready"))
        stamps = {
            (tags["InstanceCreationDate"], tags["InstanceCreationTime"][:2])
            for tags in map(orthanc.tags, orthanc.instances())
        }
        assert {day for day, _ in stamps} == {"20261025"}, "times are the place's: it was the 24th in UTC"
        assert {hour for _, hour in stamps} <= {"00", "01", "02", "03"}, stamps
        assert not [line for line in node.events("stage_failed") if not line["retryable"]]
        assert not node.events("data_deleted"), "no step makes anything due"
    finally:
        node.stop()


def check_no_negative(metrics: str) -> None:
    values = [line for line in metrics.splitlines() if line and not line.startswith("#")]
    assert values
    assert [line for line in values if float(line.rsplit(" ", 1)[1]) < 0] == []


def test_bad_configuration_is_told_by_check_reload_and_the_metric(orthanc: Orthanc, start_node: StartNode) -> None:
    node = start_node(orthanc, **CHANGES)
    wait_until(lambda: node.http("/readyz")[0] == 200, seconds=90, what="the node is not ready")
    good = node.config.read_text()
    node.config.write_text(good + "nod: {}\n")
    assert CliRunner().invoke(app, ["check", str(node.config)]).exit_code == 2
    before = len(node.events("configuration_reloaded"))
    subprocess.run(["kill", "-HUP", str(node.pid)], check=True)
    wait_until(lambda: len(node.events("configuration_reloaded")) > before, seconds=30, what="no answer")
    assert node.events("configuration_reloaded")[-1]["result"] == "rejected"
    assert "dokuei_config_last_reload_successful 0.0" in node.http("/metrics")[1]
    assert node.http("/readyz")[0] == 200, "the old configuration keeps serving"
