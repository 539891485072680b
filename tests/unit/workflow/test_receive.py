# SPDX-License-Identifier: Apache-2.0
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import filereader

from fakes import FakeAnalyst, Recorder, SystemClock, ct_dataset, incoming
from node import SETTINGS
from service.dicom import parsing
from service.domain.errors import StorageError
from service.domain.event import InstanceReceived
from service.domain.provenance import HEATMAP_IMAGE_TYPE
from service.domain.study import study_key
from service.ports import StoreOutcome, Task
from service.settings import Settings
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.workflow import FlowParts, StoreInstance


class Desk:
    """A receiver on a real store and ledger; tasks are only listed."""

    def __init__(
        self, root: Path, *, settings: Settings = SETTINGS, reserve_bytes: int = 0, url: str | None = None
    ) -> None:
        self.folder = open_folder(root)
        self.tasks: list[Task] = []
        self.broken = False
        self.database = create_database(root, url=url)
        migrate(self.database)
        self.observer = Recorder()
        self.parts = self._parts(settings, reserve_bytes)
        self.receive = StoreInstance(self.parts)

    def _parts(self, settings: Settings, reserve_bytes: int) -> FlowParts:
        return FlowParts(
            settings=settings,
            clock=SystemClock(),
            observer=self.observer,
            ledger=SqlLedger(self.database, root=self.folder.root, enqueue=self._enqueue),
            store=FileStore(self.folder, reserve_bytes=reserve_bytes),
            analyst=FakeAnalyst(),
            pipelines={},
            packages={},
            destinations={},
            notifiers={},
            study_key=partial(study_key, site_key=b"k"),
        )

    def _enqueue(self, _connection: Any, task: Task) -> None:
        if self.broken:
            raise StorageError("engine")
        self.tasks.append(task)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def files(self) -> int:
        return len(list(self.folder.instances.rglob("*.dcm")))


@pytest.fixture
def desk(tmp_path: Path, database_url: str | None) -> Any:
    desk = Desk(tmp_path, url=database_url)
    yield desk
    desk.database.dispose()


def test_a_stored_instance_is_in_the_ledger_and_arms_the_closer_once(desk: Desk) -> None:
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.STORED
    assert desk.receive(incoming(ct_dataset(1, 2))) is StoreOutcome.STORED
    assert desk.rows("select unclosed, generation from study") == [(2, 1)]
    assert [task.task_id for task in desk.tasks] == ["close-1-1"]
    assert desk.files() == 2


def test_the_same_bytes_again_change_nothing(desk: Desk) -> None:
    desk.receive(incoming(ct_dataset(1, 1)))
    before = desk.rows("select * from study, instance")
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.DUPLICATE
    assert desk.rows("select * from study, instance") == before
    assert desk.files() == 1


def test_other_bytes_under_a_known_uid_are_kept_aside_once(desk: Desk) -> None:
    desk.receive(incoming(ct_dataset(1, 1)))
    for _ in range(2):
        assert desk.receive(incoming(ct_dataset(1, 1, pixel=7))) is StoreOutcome.CONFLICT
    assert desk.rows("select count(*) from quarantine") == [(1,)]
    assert len(list(desk.folder.quarantine.iterdir())) == 1
    assert desk.files() == 1
    stored = desk.rows("select path from instance")[0][0]
    assert (desk.folder.root / stored).is_file()


def test_twenty_associations_with_the_same_instance_store_it_once(desk: Desk) -> None:
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda _: desk.receive(incoming(ct_dataset(1, 1))), range(20)))
    assert sorted(outcomes).count(StoreOutcome.STORED) == 1
    assert outcomes.count(StoreOutcome.DUPLICATE) == 19
    assert (desk.files(), desk.rows("select unclosed from study")) == (1, [(1,)])


def test_twenty_associations_with_twenty_versions_store_one_and_keep_the_rest(desk: Desk) -> None:
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(lambda n: desk.receive(incoming(ct_dataset(1, 1, pixel=n))), range(20)))
    assert outcomes.count(StoreOutcome.STORED) == 1
    assert outcomes.count(StoreOutcome.CONFLICT) == 19
    assert (desk.files(), len(list(desk.folder.quarantine.iterdir()))) == (1, 19)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"sop_instance_uid": "1.2.3"}, StoreOutcome.MISMATCH),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.1"}, StoreOutcome.MISMATCH),
        ({"sop_instance_uid": "../../etc/passwd"}, StoreOutcome.CANNOT_UNDERSTAND),
        ({"dataset": (b"\x08\x00\x16\x00XX garbage",)}, StoreOutcome.CANNOT_UNDERSTAND),
        ({"dataset": ()}, StoreOutcome.CANNOT_UNDERSTAND),
    ],
)
def test_what_is_not_stored_leaves_nothing(desk: Desk, changes: dict[str, Any], outcome: StoreOutcome) -> None:
    assert desk.receive(incoming(ct_dataset(1, 1), **changes)) is outcome
    assert (desk.files(), list(desk.folder.incoming.iterdir()), desk.tasks) == (0, [], [])
    assert desk.rows("select * from study") == []
    assert desk.observer.of(InstanceReceived)[0].outcome == outcome.value


def test_no_library_parses_what_arrives(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pydicom parses on the way to the answer")

    arriving = incoming(ct_dataset(1, 1))
    monkeypatch.setattr(parsing, "read_partial", refuse)
    monkeypatch.setattr(filereader, "data_element_generator", refuse)
    assert desk.receive(arriving) is StoreOutcome.STORED


@pytest.mark.parametrize(("keyword", "value"), [("StudyInstanceUID", "1.02"), ("PatientID", "A\\B")])
def test_an_ambiguous_identity_is_refused(desk: Desk, keyword: str, value: str) -> None:
    dataset = ct_dataset(1, 1)
    dataset[keyword].value = value.replace("\\", "\t") if keyword == "PatientID" else value
    assert desk.receive(incoming(dataset)) is StoreOutcome.CANNOT_UNDERSTAND


def test_a_disk_that_is_gone_is_out_of_resources(desk: Desk) -> None:
    shutil.rmtree(desk.folder.root)
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.OUT_OF_RESOURCES


def test_our_own_result_is_refused(desk: Desk) -> None:
    dataset = ct_dataset(1, 1)
    dataset.ImageType = list(HEATMAP_IMAGE_TYPE)
    assert desk.receive(incoming(dataset)) is StoreOutcome.OWN_RESULT
    assert desk.files() == 0


def test_below_the_reserve_the_peer_is_asked_to_come_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, reserve_bytes=1 << 60)
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.OUT_OF_RESOURCES
    desk.database.dispose()


def test_when_the_closer_cannot_be_armed_nothing_is_acknowledged(desk: Desk) -> None:
    desk.broken = True
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.OUT_OF_RESOURCES
    assert desk.rows("select * from instance") == []
    desk.broken = False
    assert desk.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.STORED
