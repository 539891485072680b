# SPDX-License-Identifier: Apache-2.0
"""What is not let in is kept, once, within limits, and comes out only where that does no harm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_receive import Desk

from fakes import ct_dataset, incoming
from harness.raw import body, element, implicit
from node import SETTINGS
from service.domain.event import AdmissionRefused, QuarantineEntered, QuarantineTrimmed
from service.domain.quarantine import Quarantined
from service.ports import IncomingInstance, StoreOutcome
from service.settings import Settings
from service.workflow.quarantine import Quarantine
from service.workflow.release import Release

CLAIMED = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "sop_instance_uid": "1.2.3.4"}


def desk_with(root: Path, **changes: Any) -> Desk:
    return Desk(root, settings=SETTINGS.model_copy(update=changes))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.database.dispose()


def raw(data_set: bytes, **changes: Any) -> IncomingInstance:
    """An object written byte by byte."""
    return incoming(ct_dataset(1, 1), **{**CLAIMED, "dataset": (data_set,), **changes})


def odd(number: int = 0) -> bytes:
    """An object that a lenient admission takes."""
    return body(element(0x00090010, "LO", b"x" * (2 * number + 1)), at=0x00100000)


TWICE = body(element(0x00100020, "LO", b"OTHER "), at=0x0020000D)


def entries(desk: Desk) -> tuple[Quarantined, ...]:
    with desk.parts.ledger.reading() as view:
        return view.quarantine.rows(limit=1000)


def files(desk: Desk) -> list[Path]:
    return sorted(desk.folder.quarantine.iterdir())


def test_a_refused_object_is_kept_with_its_reason_and_no_trace_of_a_preamble(desk: Desk) -> None:
    assert desk.receive(raw(TWICE)) is StoreOutcome.CANNOT_UNDERSTAND
    entry = entries(desk)[0]
    assert (entry.reason, entry.peer, entry.times) == ("duplicate_element", "ct", 1)
    assert (entry.sop_instance_uid, entry.study_instance_uid) == (
        "1.2.3.4",
        "",
    )  # the study's UID stands behind the fault
    assert "(0010,0020) 'Patient ID' stands twice" in entry.message
    assert "OTHER" not in entry.message
    assert entry.path == files(desk)[0]
    content = entry.path.read_bytes()
    assert content[:132] == bytes(128) + b"DICM"
    assert content.endswith(TWICE)
    assert (entry.size_bytes, content[entry.offset :][:8]) == (len(TWICE), b"\x10\x00\x20\x00LO\x06\x00")
    refused = desk.observer.of(AdmissionRefused)
    assert [(event.peer, event.reason, event.study_key) for event in refused] == [("ct", "duplicate_element", "")]
    assert [event.reason for event in desk.observer.of(QuarantineEntered)] == ["duplicate_element"]


def test_a_mismatch_is_kept_and_its_study_is_named_by_its_key(desk: Desk) -> None:
    assert desk.receive(raw(body(), sop_instance_uid="1.2.3.5")) is StoreOutcome.MISMATCH
    assert entries(desk)[0].study_instance_uid == "1.2.3"
    event = desk.observer.of(AdmissionRefused)[0]
    assert event.reason == "uid_mismatch"
    assert event.study_key
    assert "1.2.3" not in event.study_key


def test_identical_bytes_are_kept_once(desk: Desk) -> None:
    for _ in range(5):
        desk.receive(raw(TWICE))
    assert [entry.times for entry in entries(desk)] == [5]
    assert len(files(desk)) == 1
    assert len(desk.observer.of(QuarantineEntered)) == 1
    assert len(desk.observer.of(AdmissionRefused)) == 5


def test_a_command_with_a_hostile_uid_is_refused_unread(desk: Desk) -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    assert desk.receive(raw(b"", sop_instance_uid="../../x", dataset=unread())) is StoreOutcome.CANNOT_UNDERSTAND
    assert desk.observer.of(AdmissionRefused)[0].reason == "command_uid"
    assert (entries(desk), files(desk)) == ((), [])


def test_a_conflict_lies_in_the_quarantine(desk: Desk) -> None:
    desk.receive(incoming(ct_dataset(1, 1)))
    assert desk.receive(incoming(ct_dataset(1, 1, pixel=7))) is StoreOutcome.CONFLICT
    assert [(entry.reason, entry.times) for entry in entries(desk)] == [("conflict", 1)]
    assert desk.files() == 1


def test_a_lenient_peer_is_let_in(tmp_path: Path) -> None:
    peer = {"name": "ct", "ae_title": "CT1", "address": "127.0.0.1", "admission": "lenient"}
    lenient = Settings.model_validate({"peers": [peer]}).peers
    desk = desk_with(tmp_path, peers=lenient)
    assert desk.receive(raw(odd())) is StoreOutcome.STORED
    assert desk.receive(raw(odd(1), peer="other")) is StoreOutcome.CANNOT_UNDERSTAND
    assert desk.receive(raw(TWICE)) is StoreOutcome.CANNOT_UNDERSTAND
    desk.database.dispose()


def test_past_the_number_the_oldest_of_the_fullest_peer_goes(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, quarantine=Settings.model_validate({"quarantine": {"max_objects": 3}}).quarantine)
    desk.receive(raw(odd(0), peer="quiet"))
    for number in range(1, 7):
        desk.receive(raw(odd(number), peer="flood"))
    kept = entries(desk)
    assert sorted(entry.peer for entry in kept) == ["flood", "flood", "quiet"]
    assert {entry.path for entry in kept} == set(files(desk))
    assert sum(event.count for event in desk.observer.of(QuarantineTrimmed)) == 4
    newest = [entry.size_bytes for entry in kept if entry.peer == "flood"]
    assert newest == [len(odd(6)), len(odd(5))]
    desk.database.dispose()


def test_past_the_bytes_the_oldest_goes_and_what_never_fits_leaves_its_reason(tmp_path: Path) -> None:
    limit = Settings.model_validate({"quarantine": {"max_bytes": 700}}).quarantine
    desk = desk_with(tmp_path, quarantine=limit)
    for number in range(8):
        desk.receive(raw(odd(number)))
    assert sum(path.stat().st_size for path in files(desk)) < 700 + 8 * 400
    assert sum(entry.size_bytes for entry in entries(desk)) <= 700
    desk.receive(raw(odd(500)))
    last = entries(desk)[0]
    assert (last.path, last.size_bytes, last.reason) == (None, 0, "odd_length")
    assert sum(entry.size_bytes for entry in entries(desk)) > 0
    desk.database.dispose()


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, quarantine=Settings.model_validate({"quarantine": {"keep_days": 1e-9}}).quarantine)
    desk.receive(raw(TWICE))
    Quarantine(desk.parts).trim()
    assert (entries(desk), files(desk)) == ((), [])
    assert desk.observer.of(QuarantineTrimmed)[0].reason == "age"
    desk.database.dispose()


def test_a_crash_between_file_and_row_leaves_nothing(desk: Desk) -> None:
    desk.receive(raw(TWICE))
    stray = desk.folder.quarantine / "stray.dcm"
    stray.write_bytes(b"x")
    assert Quarantine(desk.parts).sweep() == 1
    assert files(desk) == [entries(desk)[0].path]


def test_a_young_file_without_a_row_may_be_another_members_and_stays(desk: Desk) -> None:
    stray = desk.folder.quarantine / "stray.dcm"
    stray.write_bytes(b"x")
    assert Quarantine(desk.parts).sweep(grace_seconds=60) == 0
    assert files(desk) == [stray]


def test_release_admits_leniently_what_reads_in_one_way_only(desk: Desk) -> None:
    desk.receive(raw(odd()))
    assert Release(desk.parts)(entries(desk)[0]) == ""
    assert (entries(desk), files(desk), desk.files()) == ((), [], 1)
    assert [task.handler for task in desk.tasks] == ["close"]


@pytest.mark.parametrize(
    ("data_set", "changes"),
    [
        (TWICE, {}),
        (body(t00100020=("LO", b"A\\B ")), {}),
        (body(), {"sop_instance_uid": "1.2.3.5"}),
    ],
)
def test_an_identity_in_doubt_is_never_released(desk: Desk, data_set: bytes, changes: dict[str, Any]) -> None:
    desk.receive(raw(data_set, **changes))
    assert "never let out" in Release(desk.parts)(entries(desk)[0])
    assert (len(entries(desk)), len(files(desk)), desk.files()) == (1, 1, 0)


@pytest.mark.parametrize(
    "data_set", [body() + b"\x28\x00", body(t00080005=("CS", b"punycode")), implicit(0x00080016, b"1.2 ")]
)
def test_what_is_not_let_in_leniently_either_stays(desk: Desk, data_set: bytes) -> None:
    desk.receive(raw(data_set))
    assert Release(desk.parts)(entries(desk)[0])
    assert (len(entries(desk)), len(files(desk)), desk.files()) == (1, 1, 0)


def test_a_conflict_never_replaces_the_first_copy(desk: Desk) -> None:
    desk.receive(incoming(ct_dataset(1, 1)))
    desk.receive(incoming(ct_dataset(1, 1, pixel=7)))
    entry = entries(desk)[0]
    assert "compare it with the first copy" in Release(desk.parts)(entry)
    Release(desk.parts).discard(entry)
    assert (entries(desk), files(desk), desk.files()) == ((), [], 1)


def test_a_data_set_that_names_nobody_can_still_be_told_apart(desk: Desk) -> None:
    for content in (b"", b"\x08\x00\x16\x00XX garbage"):
        desk.receive(raw(content))
    assert sorted(entry.reason for entry in entries(desk)) == ["identity", "value_representation"]
