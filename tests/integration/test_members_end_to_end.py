# SPDX-License-Identifier: Apache-2.0
"""Receivers, workers and a sender on one ledger, as programs: nothing is lost when one of them is."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness.dcmtk import storescu
from harness.members import Cluster, MemberProgram, running_cluster
from harness.orthanc import Orthanc
from harness.postgres import PostgresServer
from harness.processes import free_port, wait_until
from service.domain.member import Role
from tests.chaos.journal import audit
from tests.chaos.studies import CopiedStudy, film_studies
from tests.chaos.verdict import in_background

pytestmark = pytest.mark.timeout(300)
CHANGES = {"inference": {"workers": 1}}


def gauges(member: MemberProgram) -> dict[str, float]:
    """Its series of members and queues."""
    found = re.findall(r"^(dokuei_(?:members|pending|ledger_up)\S*) (\S+)$", member.http("/metrics")[1], re.MULTILINE)
    return {name: float(value) for name, value in found}


def at_work(member: MemberProgram) -> str:
    """Wait for an analysis that somebody has begun and not ended, by the engine's own table; return who.

    A film takes a tenth of a second: it is looked for all the time.
    """
    query = "SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING' AND workflow_uuid LIKE 'analyse-%'"
    ends = time.monotonic() + 90
    with psycopg.connect(member.database_url or "", autocommit=True) as connection:
        while (found := connection.execute(query).fetchone()) is None:
            assert time.monotonic() < ends, "no analysis has begun"
            time.sleep(0.01)
    return str(found[0])


def send(member: MemberProgram, study: CopiedStudy) -> None:
    assert storescu(member.called, list(study.files)).returncode == 0


def reports(orthanc: Orthanc) -> Counter[str]:
    tags = [orthanc.tags(instance) for instance in orthanc.instances()]
    return Counter(item["StudyInstanceUID"] for item in tags if item["Modality"] == "SR")


@pytest.fixture
def cluster(tmp_path: Path, orthanc: Orthanc, postgres: PostgresServer) -> Iterator[Cluster]:
    pacs, url = (orthanc.ae_title, orthanc.dicom_port), postgres.database()
    with running_cluster(tmp_path / "members", pacs=pacs, database_url=url, changes=CHANGES) as running:
        yield running


@pytest.fixture
def pair(tmp_path: Path, postgres: PostgresServer) -> Iterator[Cluster]:
    """A worker and a sender alone."""
    numbers = {"receivers": 0, "workers": 1, "senders": 1}
    folder, pacs, url = tmp_path / "members", ("NOBODY", free_port()), postgres.database()
    with running_cluster(folder, pacs=pacs, database_url=url, changes=CHANGES, **numbers) as running:
        yield running


def test_what_a_member_had_begun_is_done_by_others(cluster: Cluster, orthanc: Orthanc, tmp_path: Path) -> None:
    studies = film_studies(tmp_path, count=10)
    receivers, workers = cluster.of(Role.RECEIVER), cluster.of(Role.WORKER)
    sending = in_background(lambda: [send(receivers[number % 2], study) for number, study in enumerate(studies)])
    first = cluster[at_work(workers[0])]
    first.kill()
    (second,) = (worker for worker in workers if worker is not first)
    sending.join(60)
    receivers[0].kill()
    rows = second.wait_for_results(len(studies), seconds=150)

    assert {row.state for row in rows.values()} == {"finished"}
    assert reports(orthanc) == Counter(study.study_instance_uid for study in studies)
    assert audit(second).sound
    leaders = [member for member in cluster.members.values() if member.runs and "dokuei_members" in str(gauges(member))]
    assert len(leaders) == 1
    shown = gauges(leaders[0])
    assert shown['dokuei_members{role="receiver"}'] == shown['dokuei_members{role="worker"}'] == 1
    assert shown['dokuei_pending{stage="analyse"}'] == 0
    silent = next(member for member in cluster.members.values() if member.runs and member is not leaders[0])
    assert gauges(silent) == {"dokuei_ledger_up": 1.0}

    # A name comes back, and the one that leads hands over when it is told to end.
    first.start()
    assert first.events("node_started")[-1]["role"] == "worker"
    leaders[0].stop()
    others = [member for member in cluster.members.values() if member.runs]
    wait_until(
        lambda: any("dokuei_members" in str(gauges(member)) for member in others), seconds=30, what="nobody leads"
    )


def test_a_node_beside_members_is_refused_and_a_member_beside_its_name(pair: Cluster) -> None:
    worker = pair.of(Role.WORKER)[0]

    def refusal(*options: str) -> str:
        command = [sys.executable, "-m", "service", "run", str(worker.config), *options]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert ended.returncode == 1, ended
        return ended.stderr + ended.stdout

    assert "is in use by another node, or by members (--role)" in refusal()
    assert f"another process works as member '{worker.name}'" in refusal("--role", "worker", "--name", worker.name)
    worker.send_signal(signal.SIGHUP)
    wait_until(lambda: bool(worker.events("configuration_reloaded")), seconds=60, what="it does not reload")
    sender = pair.of(Role.SENDER)[0]
    sender.send_signal(signal.SIGHUP)
    wait_until(lambda: bool(sender.events("configuration_reloaded")), seconds=60, what="it says nothing")
    assert "a sender has no packages" in sender.events("configuration_reloaded")[-1]["problem"]
