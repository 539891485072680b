# SPDX-License-Identifier: Apache-2.0
"""What a person does to the flow: hold a destination, do a study again, go back a version with a full queue."""

from pathlib import Path

import pytest

from fakes import PACKAGE, FakeAnalyst, ct_dataset, incoming
from node import SETTINGS, Node, running
from service.domain.errors import WorkerUnavailableError
from service.domain.result import PackageIdentity, PackageStatus, Triage
from service.domain.self_test import PATIENT_ID
from service.ports import AnalysisRequest, InstalledPackage, Notification
from service.storage.database import change_revision
from service.storage.statistics import CIRCUITS, SqlStatistics
from service.workflow import circuit
from service.workflow.replay import Replay

NEW_PACKAGE = InstalledPackage(
    identity=PackageIdentity(name="fake", version="2", sha256="b" * 64, status=PackageStatus.DEMONSTRATION),
    acceptance={},
)
URGENT = Triage(score=0.9, operating_point="high", threshold=0.5, above_operating_point=True)


class Bell:
    """A notifier that counts."""

    name = "bell"

    def __init__(self) -> None:
        self.rung = 0

    def notify(self, notification: Notification) -> None:  # noqa: ARG002 - the form of the port
        self.rung += 1


def send(node: Node, study: int, *, images: int = 2, patient: str = "") -> None:
    for number in range(1, images + 1):
        dataset = ct_dataset(study, number)
        dataset.PatientID = patient or dataset.PatientID
        node.receive(incoming(dataset))


def finished(node: Node) -> int:
    return len(node.rows("select 1 from job where state = 'finished'"))


def replayed(node: Node, *, pipeline: str = "") -> set[str]:
    with node.ledger.reading() as view:
        studies = view.studies.listed()
    return {Replay(node.parts, pipeline=pipeline)(study) for study in studies}


def test_a_held_destination_waits_across_a_restart_until_a_person_lets_it_go(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        with node.ledger.transaction() as transaction:
            assert circuit.hold(transaction, "pacs")
            assert not circuit.hold(transaction, "pacs")
        send(node, 1)
        node.wait(lambda: node.rows("select parked from delivery") == [(1,)])
    with running(tmp_path) as node:
        send(node, 2)
        node.wait(lambda: node.rows("select parked from delivery") == [(1,), (1,)])
        node.flow.reconcile()
        assert SqlStatistics(node.database).counts().circuits == {"pacs": CIRCUITS["held"]}
        assert node.destination.stored() == {}
        with node.ledger.transaction() as transaction:
            assert circuit.let_go(transaction, "pacs")
            assert not circuit.let_go(transaction, "pacs")
        node.wait(lambda: finished(node) == 2)
        assert sorted(node.destination.stored().values()) == [1, 1]


def test_a_hold_outlasts_what_was_being_sent(tmp_path: Path) -> None:
    """An attempt that began before, and ends well, must not close the circuit."""
    with running(tmp_path) as node:
        send(node, 1)
        node.wait(lambda: finished(node) == 1)
        with node.ledger.transaction() as transaction:
            circuit.hold(transaction, "pacs")
            before = transaction.circuits.lock("pacs")
            own = circuit.Circuit(node.parts, node.settings.destinations[0])
            for reach in circuit.Reach:
                assert own.note(transaction, before, job_id=1, reach=reach) == before


def test_the_same_package_comes_to_the_same_objects_and_sends_them_again(
    tmp_path: Path, database_url: str | None
) -> None:
    with running(tmp_path, database_url=database_url) as node:
        send(node, 1)
        node.wait(lambda: finished(node) == 1)
        (uid,) = node.destination.stored()
        node.wait_idle()
        assert replayed(node) == {""}
        node.wait(lambda: node.destination.stored() == {uid: 2})
        node.wait(lambda: finished(node) == 1)
        node.wait_idle()
        assert len(node.analyst.analysed) == 2
        assert node.rows("select count(*) from job") == node.rows("select count(*) from result_object") == [(1,)]
        assert replayed(node, pipeline="fake") == {""}
        node.wait(lambda: node.destination.stored() == {uid: 3})


def test_another_package_comes_to_a_result_that_names_the_old_one(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        send(node, 1)
        node.wait(lambda: finished(node) == 1)
    with running(tmp_path, packages={"fake": NEW_PACKAGE}) as node:
        assert replayed(node) == {""}
        node.wait(lambda: finished(node) == 2)
        assert sorted(node.destination.stored().values()) == [1, 1]
        (encoded,) = node.analyst.encoded
        assert (encoded.revision, len(encoded.sets[0].predecessors)) == (2, 1)


def test_what_cannot_be_done_again_says_why(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.destination.down = True
        send(node, 1)
        node.wait(lambda: bool(node.rows("select 1 from delivery where attempts > 0")))
        send(node, 2, images=1)
        assert replayed(node) == {"it is at work, or its results are not delivered yet", "it is still arriving"}


def test_nobody_is_told_twice_of_a_study_that_is_done_again(tmp_path: Path) -> None:
    settings = SETTINGS.model_validate({**SETTINGS.model_dump(by_alias=True), "site": {"profile": "demo"}})
    bell = Bell()
    with running(tmp_path, settings=settings, analyst=FakeAnalyst(triage=URGENT), notifiers={"bell": bell}) as node:
        send(node, 1)
        node.wait(lambda: finished(node) == 1 and bell.rung == 1)
        node.wait_idle()
        assert replayed(node) == {""}
        node.wait(lambda: len(node.analyst.analysed) == 2)
        node.wait(lambda: finished(node) == 1)
        node.wait_idle()
        assert bell.rung == 1


def test_a_self_test_is_urgent_to_nobody(tmp_path: Path) -> None:
    rules = [{**SETTINGS.rules[0].model_dump(by_alias=True, exclude_none=True), "priority": "urgent"}]
    whole = {**SETTINGS.model_dump(by_alias=True), "site": {"profile": "demo"}, "rules": rules}
    bell = Bell()
    settings = SETTINGS.model_validate(whole)
    with running(tmp_path, settings=settings, analyst=FakeAnalyst(triage=URGENT), notifiers={"bell": bell}) as node:
        send(node, 1, patient=PATIENT_ID)
        node.wait(lambda: finished(node) == 1)
        node.wait_idle()
        assert (bell.rung, node.rows("select priority from job")) == (0, [("routine",)])
        assert not node.analyst.encoded[0].may_raise
        send(node, 2)
        node.wait(lambda: bell.rung == 1)


STUDIES = 50


def not_yet(_request: AnalysisRequest) -> None:
    raise WorkerUnavailableError("no child process yet")


@pytest.mark.timeout(600)
def test_fifty_queued_studies_go_back_a_version_and_forward_again(tmp_path: Path, database_url: str | None) -> None:
    """The tables of the version before, with a full queue; `docs/upgrade.md` says what else was tried by hand."""
    with running(tmp_path, analyst=FakeAnalyst(before=not_yet), database_url=database_url) as node:
        for study in range(1, STUDIES + 1):
            send(node, study)
        node.wait(lambda: node.rows("select count(*) from job where state = 'queued'") == [(STUDIES,)], seconds=60)
    node = Node(tmp_path, database_url=database_url)
    change_revision(node.database, "0007")
    assert node.rows("select count(*) from job where state = 'queued'") == [(STUDIES,)]
    assert node.rows("select count(*) from instance where path <> ''") == [(2 * STUDIES,)]
    node.database.dispose()
    with running(tmp_path, database_url=database_url, packages={"fake": PACKAGE}) as node:
        node.wait(lambda: finished(node) == STUDIES, seconds=120)
        assert list(node.destination.stored().values()) == [1] * STUDIES
