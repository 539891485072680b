# SPDX-License-Identifier: Apache-2.0
"""What nobody needs any more is deleted, with proof; what anybody needs stays; a crash leaves nothing unlisted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fakes import FakePipeline, ct_dataset, incoming
from node import SETTINGS, Node, running
from service.audit import Reporter
from service.audit.xml import Source
from service.domain.event import DataDeleted
from service.domain.purge import digest_of
from service.domain.result import PackageIdentity, PackageStatus
from service.ports import CommitmentRequest, InstalledPackage, ObjectReference, StoreOutcome
from service.settings import RetentionSettings
from service.storage import audit_storage, create_database, open_folder
from service.storage.folder import nothing_deleted
from service.workflow import AuditTrail

AT_ONCE = SETTINGS.model_copy(update={"retention": RetentionSettings(input_hours=0, result_days=0)})
IMAGES = SETTINGS.model_copy(update={"retention": RetentionSettings(input_hours=0, result_days=None)})
NEVER = SETTINGS.model_copy(update={"retention": RetentionSettings(input_hours=None, result_days=None)})
OTHER_PACKAGE = InstalledPackage(
    identity=PackageIdentity(name="fake", version="2", sha256="b" * 64, status=PackageStatus.DEMONSTRATION),
    acceptance={},
)
REPORTER = Reporter(process_id="1", ae_title="DOKUEI", host="h", source=Source(id="DOKUEI"))


def send(node: Node, study: int, *, images: int = 2, **changes: Any) -> list[StoreOutcome]:
    return [node.receive(incoming(ct_dataset(study, number, **changes))) for number in range(1, images + 1)]


def analysed(node: Node, *studies: int, images: int = 2) -> None:
    for study in studies:
        assert send(node, study, images=images) == [StoreOutcome.STORED] * images
    node.wait(lambda: len(node.rows("select 1 from job where state = 'finished'")) >= len(studies))
    node.wait_idle()


def files(node: Node, folder: str) -> list[Path]:
    return [path for path in (node.root / "data" / folder).rglob("*") if path.is_file()]


def sound(node: Node) -> bool:
    return audit_storage(node.database, open_folder(node.root / "data")).sound


def test_images_and_results_are_deleted_and_the_proof_stays(tmp_path: Path, database_url: str | None) -> None:
    trail = AuditTrail(AT_ONCE, REPORTER)
    with running(tmp_path, settings=NEVER, database_url=database_url, audit=trail) as node:
        analysed(node, 1, 2)
        digests = [row[0] for row in node.rows("select sha256 from instance where study_id = 1")]
        size = node.rows("select sum(size_bytes) from instance where study_id = 1")[0][0]
    with running(tmp_path, settings=AT_ONCE, database_url=database_url, audit=trail) as node:
        node.wait(lambda: len(node.observer.of(DataDeleted)) == 4)
        assert files(node, "instances") == files(node, "results") == []
        told = {(event.what, event.files) for event in node.observer.of(DataDeleted)}
        assert told == {("input", 2), ("result", 2)}
        query = (
            "select what, rule, files, size_bytes, digests_sha256, study_key from purge where study_id = 1 order by id"
        )
        proof, result = node.rows(query)
        assert proof[:5] == ("input", "retention.input_hours: 0", 2, size, digest_of(digests))
        assert (result[0], len(result[4]), proof[5]) == ("result", 64, node.parts.study_key("1.2.826.0.1.1"))
        assert node.rows("select count(*) from purge where ended_at is null") == [(0,)]
        deleted = node.rows("select count(*) from audit_message where text like '%110105%'")
        assert deleted == [(2,)], "one DICOM Study Deleted for each study"
        assert sound(node)
        assert node.flow.retain() == 0, "there is nothing more to delete"
        assert [row[0] for row in node.rows("select distinct state from job")] == ["finished"]


def change(statement: str) -> Callable[[Node], None]:
    def apply(node: Node) -> None:
        with node.database.begin() as connection:
            connection.execute(sa.text(statement))

    return apply


def promise(node: Node) -> None:
    """A peer asks the node to commit itself to one image."""
    uid = str(ct_dataset(1, 1).SOPInstanceUID)
    reference = ObjectReference(sop_class_uid=str(ct_dataset(1, 1).SOPClassUID), sop_instance_uid=uid)
    request = CommitmentRequest(peer="ct", calling_ae="CT", transaction_uid="1.9", references=(reference,))
    with node.ledger.transaction() as transaction:
        order = transaction.orders.add(request, due_at=0.0, at=0.0)
        transaction.orders.settle(order.id, reported=True, at=0.0)


HELD = "insert into held_object (job_id, kind, destinations, problems, held_at) values (1, 'sr', '[]', '[]', 0)"
QUARANTINED = (
    'insert into quarantine (key, reason, job_key, first_at, last_at, size_bytes, "offset", flags) '
    "select 'k', 'poison', key, 0, 4102444800, 0, 0, '[]' from job where id = 1"
)
NEEDED: dict[str, tuple[Callable[[Node], None], set[str]]] = {
    "refused": (change("update delivery set state = 'refused'"), {"input", "result"}),
    "abandoned": (change("update delivery set state = 'abandoned'"), {"input", "result"}),
    "stored but not committed": (change("update delivery set state = 'stored'"), {"input", "result"}),
    "held object": (change(HELD), {"input", "result"}),
    "failed": (change("update job set state = 'failed'"), {"input", "result"}),
    "poison": (change(QUARANTINED), {"input", "result"}),
    "promised to a peer": (promise, {"input"}),
    "not routed": (change("update revision set routed_at = null"), {"input"}),
    "still arriving": (change("update study set unclosed = 1"), {"input"}),
    "seen in the future": (change("update study set last_seen_at = 4102444800"), {"input"}),
}


@pytest.mark.parametrize("reason", NEEDED)
def test_what_anybody_needs_stays(tmp_path: Path, reason: str) -> None:
    with running(tmp_path, settings=NEVER) as node:
        analysed(node, 1)
    spoil, stays = NEEDED[reason]
    node = Node(tmp_path, settings=AT_ONCE)  # its flow does not run: nothing moves by itself
    spoil(node)
    node.flow.retain()
    gone = {event.what for event in node.observer.of(DataDeleted)}
    node.database.dispose()
    assert gone == {"input", "result"} - stays


def test_nothing_is_deleted_before_its_time(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        analysed(node, 1)
        assert node.flow.retain() == 0
        assert node.settings.retention == RetentionSettings(input_hours=24, result_days=7)
        assert len(files(node, "instances")) == 2


def test_nothing_is_deleted_while_a_backup_is_made(tmp_path: Path) -> None:
    with running(tmp_path, settings=NEVER) as node:
        analysed(node, 1)
    node = Node(tmp_path, settings=AT_ONCE)
    with nothing_deleted(tmp_path / "data"):
        assert node.flow.retain() == 0
    assert node.flow.retain() == 2
    node.database.dispose()


def test_a_study_that_comes_again_is_stored_and_not_analysed_again(tmp_path: Path) -> None:
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
        sent = node.destination.stored()
        assert send(node, 1) == [StoreOutcome.STORED] * 2
        node.wait(lambda: node.rows("select revision from study") == [(2,)])
        node.wait_idle()
        assert (node.rows("select count(*) from job"), node.destination.stored()) == ([(1,)], sent)
        node.wait(lambda: not files(node, "instances"), seconds=10)
        assert node.rows("select count(*) from purge") == [(2,)]
        assert sound(node)


def test_a_study_that_comes_again_is_analysed_by_a_new_package(tmp_path: Path) -> None:
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
    with running(tmp_path, settings=NEVER, packages={"fake": OTHER_PACKAGE}) as node:
        send(node, 1)
        node.wait(lambda: node.rows("select count(*) from job where state = 'finished'") == [(2,)])
        assert [row[0] for row in node.rows("select outcome from job order by id")] == ["no_findings"] * 2
        assert node.rows("select result_revision from job order by id") == [(1,), (2,)]


def test_other_bytes_under_the_uid_of_a_deleted_image_are_a_conflict(tmp_path: Path) -> None:
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
        assert send(node, 1, images=1, pixel=9) == [StoreOutcome.CONFLICT]
        assert sound(node)


def test_a_late_image_of_a_deleted_study_asks_for_the_whole_study(tmp_path: Path) -> None:
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
    with running(tmp_path, settings=NEVER) as node:
        assert node.receive(incoming(ct_dataset(1, 3))) is StoreOutcome.STORED
        node.wait(lambda: node.rows("select count(*) from job where state = 'finished'") == [(2,)])
        assert node.analyst.refused[-1][1] == ("images_deleted",)
        assert send(node, 1, images=3) == [StoreOutcome.STORED, StoreOutcome.STORED, StoreOutcome.DUPLICATE]
        node.wait(lambda: node.rows("select count(*) from job where state = 'finished'") == [(3,)])
        assert node.rows("select outcome from job order by id desc limit 1") == [("no_findings",)]


def test_one_image_that_comes_again_leaves_the_result_alone(tmp_path: Path) -> None:
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
    with running(tmp_path, settings=NEVER, packages={"fake": OTHER_PACKAGE}) as node:
        assert send(node, 1, images=1) == [StoreOutcome.STORED]
        node.wait(lambda: node.rows("select revision from study") == [(2,)])
        node.wait_idle()
        assert node.rows("select count(*) from job") == [(1,)]


def test_the_disk_stays_bounded_under_steady_work(tmp_path: Path) -> None:
    with running(tmp_path, settings=AT_ONCE, pipeline=FakePipeline(enough=4), reconcile_seconds=0.2) as node:
        largest = 0
        for study in range(1, 31):
            send(node, study, images=4)
            node.wait(lambda study=study: len(node.rows("select 1 from job where state = 'finished'")) >= study - 4)
            largest = max(largest, len(files(node, "instances")))
        node.wait(lambda: not files(node, "instances") and not files(node, "results"))
        assert largest <= 4 * 20, "the disk holds what is at work, and not what was"
        assert len(files(node, "incoming")) == 0
        assert sound(node)


CONFIG = "storage: {{folder: '{root}', reserve_bytes: 0}}\nretention: {{input_hours: 0, result_days: 0}}\n"
KILLS = [("fdatasync", 1), ("fdatasync", 4), ("unlink", 1), ("unlink", 5), ("unlinkat", 2), ("fsync", 2), ("rename", 1)]
"""Where the pass is killed: before it commits, deletes, flushes a folder, and takes a result away."""


@contextmanager
def purging(root: Path) -> Iterator[subprocess.Popen[str]]:
    config = root.parent / f"{root.name}.yaml"
    config.write_text(CONFIG.format(root=root))
    command = [sys.executable, str(Path(__file__).with_name("purging_node.py")), str(config)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def killed_at(root: Path, call: str, when: int) -> bool:
    """Run a pass and kill it before its `when`-th call takes effect; False when there were fewer."""
    with purging(root) as process:
        inject = f"inject={call}:signal=SIGKILL:when={when}"
        command = ["strace", "-f", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null", "-p", str(process.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            assert "attached" in strace.stderr.readline()
            process.communicate("go\n", timeout=60)
            strace.wait(timeout=20)
    return process.returncode == -9


@pytest.mark.skipif(shutil.which("strace") is None, reason="PEERS MISSING: strace")
def test_a_kill_at_any_step_leaves_every_file_listed_and_the_next_pass_ends_it(tmp_path: Path) -> None:
    with running(tmp_path / "made", settings=NEVER) as node:
        analysed(node, 1, 2, 3)
    kills = 0
    for call, when in KILLS:
        root = tmp_path / f"{call}-{when}"
        shutil.copytree(tmp_path / "made" / "data", root)
        kills += killed_at(root, call, when)
        database, folder = create_database(root), open_folder(root)
        audit = audit_storage(database, folder)
        assert (audit.orphans, audit.missing) == ([], []), (call, when)
        with purging(root) as process:
            process.communicate("go\n", timeout=60)
        assert process.returncode == 0
        assert audit_storage(database, folder).sound, (call, when)
        assert [path for name in ("instances", "results") for path in (root / name).rglob("*.dcm")] == [], (call, when)
        with database.connect() as connection:
            (purges,) = connection.execute(sa.text("select count(*), count(ended_at) from purge"))
        database.dispose()
        assert purges == (6, 6), (call, when)
        shutil.rmtree(root)
    assert kills >= len(KILLS) - 2, f"only {kills} passes were killed"


def test_an_image_whose_file_a_purge_took_at_that_moment_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have one name: the purge's turn comes between the rename and the ledger's transaction."""
    with running(tmp_path, settings=IMAGES) as node:
        analysed(node, 1)
        node.wait(lambda: not files(node, "instances"))
        keep = node.store.keep

        def kept_and_deleted(arrived: Any) -> Path:
            path = keep(arrived)
            node.store.delete([path])
            return path

        monkeypatch.setattr(node.store, "keep", kept_and_deleted)
        assert send(node, 1, images=1) == [StoreOutcome.OUT_OF_RESOURCES]
        monkeypatch.undo()
        assert send(node, 1, images=1) == [StoreOutcome.STORED]


def test_a_pass_leaves_the_rest_to_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, settings=NEVER) as node:
        analysed(node, 1, 2)
    node = Node(tmp_path, settings=AT_ONCE)
    monkeypatch.setattr("service.workflow.retention.PASS_SECONDS", 0.0)
    assert node.flow.retain() == 0
    monkeypatch.undo()
    monkeypatch.setattr("service.workflow.retention.DUE_AT_ONCE", 1)
    assert node.flow.retain() == 4
    node.database.dispose()
