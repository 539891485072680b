# SPDX-License-Identifier: Apache-2.0
"""Every count of `make chaos` sees the failure that it is there for: forged outcomes, one at a time."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.modality import OUT_OF_RESOURCES, SUCCESS
from harness.node import NodeProgram
from harness.phantom import ct_slice
from tests.chaos import archives, cutting, disk_full, drain, failing_calls, half_open, same_instance, worker_deaths
from tests.chaos.journal import audit, dataset_start
from tests.chaos.verdict import Verdict


def outcome(*, first: int | None = SUCCESS, again: int | None = SUCCESS) -> cutting.Outcome:
    return cutting.Outcome(sop_instance_uid="1.2", first=first, again=again)


@pytest.mark.parametrize(
    ("first", "again", "kept_before", "kept", "lost"),
    [
        (SUCCESS, SUCCESS, {"1.2"}, {"1.2": 1}, 0),
        (None, SUCCESS, set(), {"1.2": 1}, 0),
        (SUCCESS, SUCCESS, set(), {"1.2": 1}, 1),
        (None, SUCCESS, set(), {}, 1),
        (OUT_OF_RESOURCES, OUT_OF_RESOURCES, set(), {}, 0),
    ],
)
def test_a_success_without_an_object_is_lost(
    first: int | None, again: int | None, kept_before: set[str], kept: dict[str, int], lost: int
) -> None:
    assert cutting.count_lost([outcome(first=first, again=again)], kept_before, kept) == lost


def test_sending_again_must_succeed() -> None:
    assert not cutting.resend_faults([outcome(first=None)])
    assert "42752" in cutting.resend_faults([outcome(again=OUT_OF_RESOURCES)])[0]
    assert cutting.resend_faults([outcome(again=None)])


def test_every_copy_must_be_answered_with_success() -> None:
    assert not same_instance.answer_faults([SUCCESS] * 3, 3)
    assert same_instance.answer_faults([SUCCESS] * 2, 3)
    assert same_instance.answer_faults([SUCCESS, SUCCESS, 0x0111], 3)


def test_archives_that_hold_a_sender_or_a_stop_are_named() -> None:
    events = [{"destination": "drip", "seconds": 5.2}, {"destination": "drip", "seconds": 4.0}]
    assert archives.longest_attempts(events) == {"drip": 5.2}
    assert not archives.attempt_faults({"drip": 10.0}, expected=["drip"])
    assert archives.attempt_faults({"drip": 10.1}, expected=["drip"])
    assert archives.attempt_faults({}, expected=["drip"]) == ("no attempt at 'drip' has ended",)
    assert not archives.lag_faults(alone=0.5, beside=1.4)
    assert archives.lag_faults(alone=0.5, beside=1.6)
    assert not archives.stop_faults(10.0)
    assert archives.stop_faults(10.5)


def sent(*, started_at: float, answer: int | None) -> drain.Sent:
    return drain.Sent(sop_instance_uid="1.2", started_at=started_at, answer=answer)


def test_a_store_under_way_at_the_signal_must_be_answered_with_success() -> None:
    finished, other = sent(started_at=9.5, answer=SUCCESS), sent(started_at=10.5, answer=None)
    assert not drain.aborted_faults([finished, other], 10.0)
    assert "no answer" in drain.aborted_faults([finished, sent(started_at=9.5, answer=None)], 10.0)[0]
    assert "0xA700" in drain.aborted_faults([sent(started_at=9.5, answer=OUT_OF_RESOURCES)], 10.0)[0]
    assert "shows nothing" in drain.aborted_faults([other], 10.0)[0]


@pytest.mark.parametrize(
    ("stop_seconds", "forced_seconds", "status", "faults"),
    [(60.0, 3.0, 0, 0), (61.0, 0.1, 0, 1), (1.0, 3.1, 0, 1), (1.0, 0.1, -9, 1)],
)
def test_a_slow_or_failed_stop_is_a_fault(stop_seconds: float, forced_seconds: float, status: int, faults: int) -> None:
    assert len(drain.stop_faults(stop_seconds, forced_seconds, status)) == faults


def test_a_full_disk_must_be_answered_at_once_with_out_of_resources() -> None:
    assert not disk_full.full_faults(OUT_OF_RESOURCES, 0.05, at_once=True)
    assert disk_full.full_faults(OUT_OF_RESOURCES, 0.2, at_once=True)
    assert not disk_full.full_faults(OUT_OF_RESOURCES, 0.2, at_once=False)
    assert disk_full.full_faults(SUCCESS, 0.05, at_once=True)
    assert disk_full.full_faults(-1, 0.05, at_once=True)


def test_a_connection_that_is_held_too_long_is_a_fault() -> None:
    assert not half_open.reclaim_faults({"in the middle of a PDU": 11.9, "idle": 46.9})
    assert half_open.reclaim_faults({"in the middle of a PDU": 12.1})
    assert half_open.reclaim_faults({"idle": 60.0})


def tried(**changes: object) -> failing_calls.Tried:
    good: dict[str, object] = {"hits": 1, "answer": OUT_OF_RESOURCES, "kept": False, "partial": 0, "answer_after": 0}
    call = failing_calls.FailingCall(calls="fsync", error="EIO")
    return failing_calls.Tried(call=call, **{**good, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, 0),
        ({"answer": SUCCESS, "kept": True}, 0),
        ({"answer": SUCCESS}, 1),
        ({"answer": 0x0110}, 1),
        ({"answer": -1}, 1),
        ({"partial": 1}, 1),
        ({"answer_after": OUT_OF_RESOURCES}, 1),
        ({"hits": 0}, 1),
    ],
)
def test_a_failing_call_must_not_be_answered_with_success(changes: dict[str, object], faults: int) -> None:
    assert len(failing_calls.call_faults([tried(**changes)])) == faults


def death(**changes: object) -> worker_deaths.Death:
    good: dict[str, object] = {"name": "SIGKILL", "outcome": "no_findings", "echo_seconds": 0.1, "store_answer": 0}
    return worker_deaths.Death(**{**good, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, 0),
        ({"outcome": "not_analysed"}, 1),
        ({"outcome": ""}, 1),
        ({"echo_seconds": 1.1}, 1),
        ({"store_answer": -1}, 1),
    ],
)
def test_a_death_must_cost_neither_study_nor_receiver(changes: dict[str, object], faults: int) -> None:
    assert len(worker_deaths.death_faults([death(**changes)])) == faults


def test_a_poisonous_study_is_set_aside_after_two_children() -> None:
    def faults(outcome: str = "not_analysed", state: str = "finished", kills: int = 2, delay: float = 29.0) -> int:
        return len(worker_deaths.poison_faults(outcome, state, kills=kills, delay_seconds=delay))

    assert faults() == 0
    assert faults(outcome="findings") == faults(state="queued") == faults(kills=3) == faults(delay=31.0) == 1


@pytest.mark.parametrize("changes", [{"lost": 1}, {"duplicated": 1}, {"faults": ("x",)}, {"skipped": "no root"}])
def test_a_verdict_passes_only_without_any_fault(changes: dict[str, object]) -> None:
    assert Verdict(name="x").passed
    assert not Verdict(name="x", **changes).passed  # type: ignore[arg-type]


class Folder:
    """A data folder with one instance that its journal names."""

    def __init__(self, root: Path) -> None:
        self.node = NodeProgram(root / "node", pacs=("PACS", 1))
        self.data = self.node.folder / "data"
        for name in ("incoming", "instances/ab", "results/job"):
            (self.data / name).mkdir(parents=True)
        self.file = ct_slice(self.data / "instances" / "ab" / "one.dcm")
        digest = hashlib.sha256(self.file.read_bytes()[dataset_start(self.file) :]).hexdigest()
        with sqlite3.connect(self.data / "dokuei.db") as connection:
            connection.execute("CREATE TABLE instance (sop_instance_uid, path, sha256)")
            connection.execute("CREATE TABLE result_object (sop_instance_uid, path)")
            connection.execute("INSERT INTO instance VALUES ('1.2', 'instances/ab/one.dcm', ?)", (digest,))
        connection.close()


def tear(folder: Folder) -> None:
    folder.file.write_bytes(folder.file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: folder.file.unlink(), "1 missing"),
        (tear, "1 torn"),
        (lambda folder: (folder.data / "instances" / "ab" / "two.dcm").touch(), "1 orphans"),
        (lambda folder: (folder.data / "results" / "job" / "sr.dcm").touch(), "1 orphans"),
        (lambda folder: (folder.data / "incoming" / "x.part").touch(), "1 partial"),
    ],
)
def test_the_audit_sees_each_damage(damage: Callable[[Folder], None], words: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert audit(folder.node).sound
    damage(folder)
    (fault,) = audit(folder.node).faults
    assert fault.startswith(words)
