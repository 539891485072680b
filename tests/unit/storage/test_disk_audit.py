# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import ct_dataset, incoming
from service.domain.instance import Instance
from service.ports import ArrivedFile
from service.storage import (
    DataFolder,
    FileStore,
    SqlLedger,
    audit_storage,
    create_database,
    migrate,
    open_folder,
    reconcile_storage,
)


class Shelf:
    """A store and a ledger, on both databases."""

    def __init__(self, root: Path, url: str | None) -> None:
        self.folder: DataFolder = open_folder(root)
        self.database = create_database(root, url=url)
        migrate(self.database)
        self.store = FileStore(self.folder, reserve_bytes=0)
        self.ledger = SqlLedger(self.database, root=root, enqueue=lambda connection, task: None)  # noqa: ARG005

    def arrive(self, number: int) -> ArrivedFile:
        sent = incoming(ct_dataset(1, number, pixel=number))
        return self.store.write(
            sop_class_uid=sent.sop_class_uid,
            sop_instance_uid=sent.sop_instance_uid,
            transfer_syntax_uid=sent.transfer_syntax_uid,
            dataset=sent.dataset,
        )

    def keep(self, number: int) -> Path:
        return self.store.keep(self.arrive(number))

    def enter(self, number: int) -> Path:
        path = self.keep(number)
        instance = Instance(
            sop_instance_uid=f"1.{number}",
            sop_class_uid="1",
            study_instance_uid="9",
            series_instance_uid="8",
            transfer_syntax_uid="1",
            path=path,
            sha256="0",
            size_bytes=3 << 30,
        )
        with self.ledger.transaction() as transaction:
            transaction.studies.add_instance(instance, peer="p", at=0.0)
        return path


@pytest.fixture
def shelf(tmp_path: Path, database_url: str | None) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path.resolve(), database_url)
    yield shelf
    shelf.database.dispose()


def test_what_was_stored_is_sound(shelf: Shelf) -> None:
    for number in range(20):
        shelf.enter(number)
    audit = audit_storage(shelf.database, shelf.folder)
    assert audit.sound
    assert audit.files == 20


def test_a_file_that_no_row_names_is_found_and_put_away(shelf: Shelf) -> None:
    named, orphan = shelf.enter(1), shelf.keep(2)
    audit = audit_storage(shelf.database, shelf.folder)
    assert audit.orphans == [str(orphan.relative_to(shelf.folder.root))]
    next_life = FileStore(shelf.folder, reserve_bytes=0)
    assert reconcile_storage(shelf.database, shelf.folder, next_life).orphans == audit.orphans
    assert (named.exists(), orphan.exists()) == (True, False)
    assert [path.name for path in shelf.folder.unclaimed.iterdir()] == [orphan.name]
    assert audit_storage(shelf.database, shelf.folder).sound


def test_a_file_of_this_life_is_no_orphan_though_its_row_is_still_on_its_way(shelf: Shelf) -> None:
    orphan = shelf.keep(1)
    next_life = FileStore(shelf.folder, reserve_bytes=0)
    again = shelf.arrive(1)
    assert next_life.keep(again) == orphan
    assert reconcile_storage(shelf.database, shelf.folder, next_life).orphans == []
    assert orphan.exists()


def test_a_conflict_that_nobody_recorded_is_an_orphan(shelf: Shelf) -> None:
    aside = shelf.store.set_aside(shelf.arrive(1))
    assert aside.parent == shelf.folder.quarantine
    assert len(audit_storage(shelf.database, shelf.folder).orphans) == 1


def test_a_row_without_its_file_is_reported(shelf: Shelf) -> None:
    lost = shelf.enter(1)
    shelf.enter(2)
    lost.unlink()
    audit = audit_storage(shelf.database, shelf.folder)
    assert audit.missing == [str(lost.relative_to(shelf.folder.root))]
    assert not audit.sound


def test_beside_a_running_node_young_files_are_let_be(shelf: Shelf) -> None:
    shelf.keep(1)
    shelf.arrive(2)
    found = audit_storage(shelf.database, shelf.folder)
    assert (len(found.orphans), found.partial) == (1, 1)
    assert audit_storage(shelf.database, shelf.folder, grace_seconds=60).sound


def test_objects_above_two_gigabytes_fit_into_the_ledger(shelf: Shelf) -> None:
    shelf.enter(1)
    with shelf.ledger.reading() as view:
        assert view.studies.instances(1)[0].size_bytes == 3 << 30
