# SPDX-License-Identifier: Apache-2.0
"""The flow on the real engine and ledger: what was acknowledged ends delivered, once, whatever happens."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fakes import FakeAnalyst, Recorder, ct_dataset, incoming
from node import SETTINGS, Node, running
from service.domain.errors import DeliveryError, PixelError, WorkerCrashedError
from service.domain.event import JobsReconciled, NotificationSent, PriorityRaised, StageFailed, StudyAnalysed
from service.domain.result import Triage
from service.ports import AnalysisRequest, Notification, StoreOutcome
from service.settings import Profile

UNANSWERED = """
select study.id from study where study.unclosed > 0 or not exists (
  select 1 from job, delivery where job.study_id = study.id and delivery.job_id = job.id
  and job.state = 'finished' and json_array_length(job.inputs) =
  (select count(*) from instance where instance.study_id = study.id))
"""
"""Studies without a delivered result on all of their instances."""


def send(node: Node, study: int, *numbers: int, description: str = "") -> None:
    for number in numbers:
        assert node.receive(incoming(ct_dataset(study, number, description=description))) is StoreOutcome.STORED


def test_a_complete_study_is_delivered_exactly_once(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert list(node.destination.stored().values()) == [1]
        assert node.rows("select number, reason, instance_count from revision") == [(1, "complete", 2)]
        assert node.rows("select state, attempts, last_status from delivery") == [("delivered", 1, 0)]
        assert not node.observer.of(StageFailed)


def test_an_incomplete_study_closes_after_the_quiet_period(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        send(node, 1, 1)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select reason from revision") == [("quiet",)]


def test_a_study_that_no_rule_wants_is_recorded(tmp_path: Path, database_url: str | None) -> None:
    settings = SETTINGS.model_copy(update={"rules": ()})
    with running(tmp_path, database_url=database_url, settings=settings) as node:
        send(node, 1, 1, 2)
        node.wait_idle()
        assert node.rows(
            "select cast(rules as text), cast(pipelines as text) from revision where routed_at is not null"
        ) == [("[]", "[]")]
        assert node.rows("select * from job") == []


def test_a_late_image_makes_a_result_that_supersedes_the_first(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        first = next(iter(node.destination.stored()))
        send(node, 1, 3)
        node.wait(lambda: node.rows("select state from job") == [("finished",), ("finished",)])
        assert node.rows("select number, reason, instance_count from revision") == [
            (1, "complete", 2),
            (2, "settled", 3),
        ]
        (wanted,) = node.analyst.encoded[-1].sets
        assert [item.sop_instance_uid for item in wanted.predecessors] == [first]
        assert node.analyst.encoded[-1].revision == 2
        assert not node.analyst.encoded[-1].may_raise, "a demonstration, in an ordinary site"
        assert len(node.destination.stored()) == 2


def test_a_destination_that_was_down_gets_everything_later(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        node.destination.down = True
        send(node, 1, 1, 2)
        node.wait(lambda: bool(node.rows("select * from delivery where attempts >= 2 and state = 'pending'")))
        node.destination.down = False
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert list(node.destination.stored().values()) == [1]
        assert len(node.analyst.analysed) == 1


def test_a_permanent_refusal_is_held_and_can_be_tried_again(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        node.destination.status = 0xA900
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state, attempts from delivery") == [("refused", 3)])
        node.destination.status = 0
        with node.ledger.transaction() as transaction:
            assert transaction.deliveries.reopen("pacs") == 1
        node.wait(lambda: node.rows("select state from delivery") == [("delivered",)])
        assert node.rows("select state from job") == [("finished",)]


def crash_always(request: AnalysisRequest) -> None:
    raise WorkerCrashedError("signal 6")


def cannot_decode(request: AnalysisRequest) -> None:
    raise PixelError("truncated")


def fail_unforeseen(request: AnalysisRequest) -> None:
    raise ZeroDivisionError


class CrashOnce:
    def __init__(self) -> None:
        self.left = 1

    def __call__(self, _: AnalysisRequest) -> None:
        self.left -= 1
        if self.left >= 0:
            raise WorkerCrashedError("signal 6")


def test_a_worker_crash_is_tried_once_more(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url, analyst=FakeAnalyst(before=CrashOnce())) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select outcome, crashes from job") == [("no_findings", 1)]


@pytest.mark.parametrize(
    ("before", "reason", "tries"),
    [
        (crash_always, "analysis_failed", 2),
        (cannot_decode, "pixels_unreadable", 1),
        (fail_unforeseen, "analysis_failed", 2),
    ],
)
def test_a_study_that_cannot_be_analysed_says_so(
    tmp_path: Path, database_url: str | None, before, reason: str, tries: int
) -> None:
    with running(
        tmp_path, database_url=database_url, analyst=FakeAnalyst(before=before), reconcile_seconds=0.5
    ) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select outcome from job") == [("not_analysed",)]
        assert [codes for _, codes in node.analyst.refused] == [(reason,)]
        assert len(node.analyst.analysed) == tries
        assert len(node.destination.stored()) == 1


class ChildTakenAway:
    """Blocks until the node stops, then fails as a child does that is taken away."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.taken = threading.Event()

    def __call__(self, _: AnalysisRequest) -> None:
        self.begun.set()
        self.taken.wait(20)
        raise WorkerCrashedError("signal 15")


def test_stopping_the_node_is_no_crash_of_the_study(tmp_path: Path, database_url: str | None) -> None:
    before = ChildTakenAway()
    with running(tmp_path, database_url=database_url, analyst=FakeAnalyst(before=before)) as node:
        send(node, 1, 1, 2)
        assert before.begun.wait(20)
        threading.Timer(0.5, before.taken.set).start()
    with running(tmp_path, database_url=database_url) as node:
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select outcome, crashes from job") == [("no_findings", 0)]


def test_a_refusal_by_header_is_delivered_too(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        send(node, 1, 1, 2, description="REFUSE")
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select outcome from job") == [("not_analysed",)]
        assert not node.analyst.analysed


class Hook:
    name = "hook"

    def __init__(self) -> None:
        self.told: list[Notification] = []

    def notify(self, notification: Notification) -> None:
        self.told.append(notification)
        if len(self.told) == 1:
            raise DeliveryError("502")


def test_a_raised_priority_is_told_until_it_is_heard(tmp_path: Path, database_url: str | None) -> None:
    hook = Hook()
    triage = Triage(score=0.9, operating_point="o", threshold=0.5, above_operating_point=True)
    settings = SETTINGS.model_copy(update={"site": SETTINGS.site.model_copy(update={"profile": Profile.DEMO})})
    with running(
        tmp_path,
        database_url=database_url,
        settings=settings,
        analyst=FakeAnalyst(triage=triage),
        notifiers={"hook": hook},
    ) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state, attempts from notification") == [("sent", 2)])
        assert [event.status for event in node.observer.of(NotificationSent)] == ["failed", "sent"]
        assert len(node.observer.of(PriorityRaised)) == 1
        (analysed,) = node.observer.of(StudyAnalysed)
        assert (analysed.package, analysed.score, analysed.positive) == ("fake", 0.9, True)
        assert (hook.told[1].accession_number, hook.told[1].priority) == ("A1", "urgent")
        assert node.analyst.encoded[-1].may_raise


def test_the_reconciler_restarts_what_the_engine_lost(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url, reconcile_seconds=3600) as node:
        node.destination.down = True
        send(node, 1, 1, 2)
        node.wait(lambda: bool(node.rows("select * from delivery where attempts >= 1")))
        table = "workflow_status" if database_url is None else "dbos.workflow_status"
        with node.database.begin() as connection:
            lost = f"update {table} set status='CANCELLED' where status in ('DELAYED','ENQUEUED')"  # noqa: S608
            connection.exec_driver_sql(lost)
        node.destination.down = False
        time.sleep(0.5)
        assert node.flow.reconcile() <= 1
        node.wait(lambda: node.rows("select state from delivery") == [("delivered",)])


def test_a_restart_goes_on_where_the_node_was_stopped(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, database_url=database_url) as node:
        node.destination.down = True
        send(node, 1, 1, 2)
        node.wait(lambda: bool(node.rows("select * from delivery where attempts >= 1")))
    observer = Recorder()
    with running(tmp_path, database_url=database_url, observer=observer) as node:
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert not node.analyst.analysed
        assert list(node.destination.stored().values()) == [1]
        assert not observer.of(JobsReconciled)


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.full_matrix)])
def test_kill_minus_nine_loses_nothing_acknowledged(tmp_path: Path, database_url: str | None, kills: int) -> None:
    """A child runs the node and prints what it acknowledged; each life ends with SIGKILL."""
    acknowledged: set[str] = set()
    for life in range(kills):
        acknowledged |= _one_life(tmp_path, life, seconds=1.8 * life / (kills - 1), url=database_url)
    with running(tmp_path, database_url=database_url, reconcile_seconds=2.0) as node:
        node.wait_idle(seconds=60)
        analysed = {row[0] for row in node.rows("select sop_instance_uid from instance")}
        assert acknowledged <= analysed
        assert len(acknowledged) > kills
        assert set(node.rows("select distinct state from delivery")) == {("delivered",)}
        wanted = {row[0] for row in node.rows("select sop_instance_uid from result_object")}
        assert set(node.destination.stored()) == wanted
        assert node.rows(UNANSWERED) == []
        assert not list((tmp_path / "data" / "incoming").iterdir())


def _one_life(root: Path, life: int, *, seconds: float, url: str | None) -> set[str]:
    """Let the child live for so long after its first acknowledgement."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("feeding_node.py")), str(root), str(life), url or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        lines = [first, *child.stdout]
    assert first, "the node did not start again"
    return {line.strip() for line in lines if line.endswith("\n")}
