# SPDX-License-Identifier: Apache-2.0
"""A modality that asks for storage commitment hears the truth, and hears it once it listens."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes import CT, ct_dataset, incoming
from service.domain.errors import CommitmentUnsupportedError, DestinationUnreachableError
from service.domain.event import CommitmentReported
from service.ports import CommitmentReport, CommitmentRequest, ObjectReference, StoreOutcome
from service.workflow import StoreInstance, TakeOrder
from simulation.world import SETTINGS, World

MODALITY = {"name": "ct", "ae_title": "CT1", "address": "10.0.0.5", "commitment_port": 104}
SILENT = {"name": "mr", "ae_title": "MR1", "address": "10.0.0.6"}


@dataclass
class Modality:
    """A modality that takes reports while it is up."""

    up: bool = True
    reports: list[CommitmentReport] = field(default_factory=list)
    calls: int = 0

    def report_commitment(self, report: CommitmentReport) -> None:
        self.calls += 1
        if not self.up:
            raise DestinationUnreachableError("down")
        self.reports.append(report)


@pytest.fixture
def modality() -> Modality:
    return Modality()


@pytest.fixture
def world(tmp_path: Path, modality: Modality) -> World:
    settings = {**SETTINGS, "destinations": [], "peers": [MODALITY, SILENT]}
    return World(tmp_path, settings=settings, modalities={"ct": modality})


def receive(world: World, *numbers: int) -> None:
    for number in numbers:
        assert StoreInstance(world.parts)(incoming(ct_dataset(1, number))) is StoreOutcome.STORED


def request(*numbers: int, peer: str = "ct", sop_class_uid: str = CT) -> CommitmentRequest:
    references = tuple(
        ObjectReference(sop_class_uid=sop_class_uid, sop_instance_uid=f"1.2.826.0.1.1.1.{number}") for number in numbers
    )
    return CommitmentRequest(peer=peer, calling_ae="CT1", transaction_uid="2.25.1", references=references)


def summary(report: CommitmentReport) -> tuple[list[str], dict[str, int]]:
    committed = [item.sop_instance_uid[-1] for item in report.committed]
    return committed, {item.reference.sop_instance_uid[-1]: item.reason for item in report.failed}


def path_of(world: World, number: int) -> Path:
    paths = dict(world.rows("select sop_instance_uid, path from instance"))
    return world.root / "data" / str(paths[f"1.2.826.0.1.1.1.{number}"])


def test_what_is_stored_is_committed_and_what_is_not_is_denied(world: World, modality: Modality) -> None:
    receive(world, 1, 2, 3, 4)
    path_of(world, 2).unlink()
    content = path_of(world, 3).read_bytes()
    path_of(world, 3).chmod(0o600)
    path_of(world, 3).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    path_of(world, 4).chmod(0o600)
    path_of(world, 4).write_bytes(content[:100])
    TakeOrder(world.parts)(request(1, 2, 3, 4, 5))
    world.run(seconds=60)
    assert [summary(report) for report in modality.reports] == [
        (["1"], {"2": 0x0112, "3": 0x0110, "4": 0x0110, "5": 0x0112})
    ]
    assert world.engine.crashes == []


def test_another_class_is_a_conflict(world: World, modality: Modality) -> None:
    receive(world, 1)
    TakeOrder(world.parts)(request(1, sop_class_uid="1.2.3"))
    world.run(seconds=60)
    assert summary(modality.reports[0]) == ([], {"1": 0x0119})


def test_a_modality_that_is_away_for_a_day_hears_it_then(world: World, modality: Modality) -> None:
    receive(world, 1)
    modality.up = False
    TakeOrder(world.parts)(request(1))
    world.run(seconds=12 * 3600)
    world.engine.lose_everything()
    world.boot()
    world.run(seconds=12 * 3600)
    modality.up = True
    world.run(seconds=1200)
    assert [summary(report) for report in modality.reports] == [(["1"], {})]
    assert modality.calls < 86_400 / 60
    assert [event.status for event in world.observer.of(CommitmentReported)][-2:] == ["failed", "sent"]
    assert not [row for row in world.unfinished() if row.stage.startswith("report")]


def test_a_report_taken_on_the_same_association_is_not_sent_again(world: World, modality: Modality) -> None:
    receive(world, 1)
    service = TakeOrder(world.parts)
    service(request(1))
    assert summary(service.report(request(1))) == (["1"], {})
    service.reported(request(1))
    world.run(seconds=3600)
    assert modality.reports == []


def test_a_request_made_again_is_reported_again(world: World, modality: Modality) -> None:
    service = TakeOrder(world.parts)
    service(request(1))
    world.run(seconds=60)
    receive(world, 1)
    service(request(1))
    world.run(seconds=60)
    assert [summary(report) for report in modality.reports] == [([], {"1": 0x0112}), (["1"], {})]


def test_a_peer_that_takes_no_reports_may_not_ask(world: World) -> None:
    with pytest.raises(CommitmentUnsupportedError, match=r"'mr'.*commitment_port"):
        TakeOrder(world.parts)(request(1, peer="mr"))
    assert world.rows("select * from commitment_order") == []
