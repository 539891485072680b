# SPDX-License-Identifier: Apache-2.0
"""The worker pool against real children that crash, hang, overflow and lose their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import (
    OutOfSpaceError,
    PackageError,
    PixelError,
    StorageError,
    WorkerCrashedError,
    WorkerError,
    WorkerTimeoutError,
    WorkerUnavailableError,
)
from service.domain.event import Event, WorkerRestarted
from service.domain.result import Priority
from service.inference.worker import WorkerPool


def _pool(entry: str = "obey", **options: Any) -> WorkerPool:
    defaults: dict[str, Any] = {
        "size": 1,
        "deadline_seconds": 30,
        "memory_bytes": 2_000_000_000,
        "initial": {"colour": "grey"},
    }
    return WorkerPool(f"worker_entries:{entry}", **(defaults | options))


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with _pool() as pool:
        pool.wait_ready(30)
        yield pool


def _wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_answers_with_what_it_was_started_with(pool: WorkerPool) -> None:
    assert pool.ready
    assert pool.call({"do": "echo", "size": 3}) == {"colour": "grey", "do": "echo", "size": 3}


def test_stays_warm(pool: WorkerPool) -> None:
    assert pool.call({"do": "pid"}) == pool.call({"do": "pid"}) != {"pid": os.getpid()}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("abort", "ended by SIGABRT"),
        ("kill", "ended by SIGKILL"),
        ("segfault", "ended by SIGSEGV"),
        ("exit", "exited with status 7"),
        ("eat_memory", r"passed its memory limit .*worker_entries.py"),
    ],
)
def test_a_dead_child_is_named_and_replaced(pool: WorkerPool, action: str, words: str) -> None:
    before = pool.call({"do": "pid"})
    with pytest.raises(WorkerCrashedError, match=words) as caught:
        pool.call({"do": action})
    assert caught.value.retryable
    assert pool.call({"do": "pid"}) != before


def test_an_idle_child_that_dies_is_replaced_before_it_is_missed(pool: WorkerPool) -> None:
    child = pool.call({"do": "pid"})["pid"]
    os.kill(child, signal.SIGKILL)
    _wait_until(lambda: not pool.ready)
    _wait_until(lambda: pool.ready)
    assert pool.call({"do": "pid"}) != {"pid": child}


@pytest.mark.parametrize("action", ["hang", "hold_the_interpreter"])
def test_a_deadline_is_kept(action: str, tmp_path: Path) -> None:
    with _pool(deadline_seconds=0.5) as pool:
        pool.wait_ready(30)
        start = time.monotonic()
        with pytest.raises(WorkerTimeoutError, match=r"deadline of 0.5 s .* inference.deadline_seconds"):
            pool.call({"do": action, "mark": str(tmp_path / "mark")})
        assert time.monotonic() - start < 5
        assert pool.call({"do": "echo"})["do"] == "echo"


def test_big_replies_and_tasks_pass(pool: WorkerPool) -> None:
    assert len(pool.call({"do": "big_reply", "size": 20_000_000})["text"]) == 20_000_000
    assert len(pool.call({"do": "echo", "text": "x" * 5_000_000})["text"]) == 5_000_000


@pytest.mark.parametrize(
    ("action", "kind", "retryable"),
    [
        ("pixel_error", PixelError, False),
        ("storage_error", StorageError, True),
        ("admission_error", WorkerError, False),
    ],
)
def test_errors_of_ours_keep_their_class(pool: WorkerPool, action: str, kind: type[Exception], retryable: bool) -> None:
    with pytest.raises(kind) as caught:
        pool.call({"do": action})
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable  # type: ignore[attr-defined]


def test_the_message_of_an_error_of_ours_travels(pool: WorkerPool) -> None:
    with pytest.raises(PixelError, match=r"\(7FE0,0010\) ends early; send the image again"):
        pool.call({"do": "pixel_error"})


def test_other_errors_tell_the_place_but_no_patient(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match=r"ValueError at .*worker_entries.py:\d+$") as caught:
        pool.call({"do": "bug"})
    assert "YAMADA" not in str(caught.value)
    assert not caught.value.retryable


def test_a_file_that_cannot_be_read_is_worth_another_try(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match="FileNotFoundError at") as caught:
        pool.call({"do": "read_missing"})
    assert caught.value.retryable


def test_a_full_disk_is_a_full_disk(pool: WorkerPool) -> None:
    with pytest.raises(OutOfSpaceError, match="free some space"):
        pool.call({"do": "fill_the_disk"})


def test_nan_never_travels(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match="ValueError"):
        pool.call({"do": "unsayable_reply"})


def test_a_task_that_is_not_json_harms_nobody(pool: WorkerPool) -> None:
    before = pool.call({"do": "pid"})
    with pytest.raises(TypeError, match="bytes is not JSON serializable"):
        pool.call({"do": "echo", "pixels": b"x"})
    assert pool.call({"do": "pid"}) == before


def test_stop_signals_are_left_to_the_parent(pool: WorkerPool) -> None:
    assert pool.call({"do": "signal_parent_like"}) == {"alive": True}


def test_urgent_tasks_overtake_waiting_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    task = {"do": "sleep", "log": str(log)}
    with _pool() as pool:
        pool.wait_ready(30)
        names = [("first", 1.0), ("routine-1", 0), ("routine-2", 0), ("urgent-1", 0), ("urgent-2", 0)]
        threads = []
        for name, seconds in names:
            priority = Priority.URGENT if name.startswith("urgent") else Priority.ROUTINE
            arguments = {"task": task | {"name": name, "seconds": seconds}, "priority": priority}
            threads.append(threading.Thread(target=pool.call, kwargs=arguments))
            threads[-1].start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
    assert log.read_text().split() == ["first", "urgent-1", "urgent-2", "routine-1", "routine-2"]


def test_children_work_side_by_side(tmp_path: Path) -> None:
    with _pool(size=2) as pool:
        pool.wait_ready(30)
        pids: set[int] = set()
        threads = [threading.Thread(target=lambda: pids.add(pool.call({"do": "pid"})["pid"])) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(pids) == 2


@pytest.mark.parametrize(
    ("action", "ended_by"),
    [("abort", "SIGABRT"), ("segfault", "SIGSEGV"), ("kill", "SIGKILL"), ("exit", "exit 7"), ("eat_memory", "memory")],
)
def test_an_error_says_what_ended_the_child(pool: WorkerPool, action: str, ended_by: str) -> None:
    with pytest.raises(WorkerCrashedError) as caught:
        pool.call({"do": action})
    assert caught.value.ended_by == ended_by


def test_the_next_study_goes_to_another_child_at_once(tmp_path: Path) -> None:
    """The dead one's successor needs a minute to load its packages; nobody waits for it, the study's second try too."""
    pool = _pool("start_slowly_after_two", size=2, initial={"mark": str(tmp_path / "starts")})
    try:
        pool.wait_ready(60)
        started = time.monotonic()
        with pytest.raises(WorkerCrashedError):
            pool.call({"do": "kill"})
        assert pool.call({"do": "echo"})["do"] == "echo"
        assert time.monotonic() - started < 25
    finally:
        pool.kill()


def test_close_answers_what_waits_and_leaves_no_child() -> None:
    pool = _pool()
    child = pool.call({"do": "pid"})["pid"]
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(pool.call({"do": "echo"}))) for _ in range(5)]
    for thread in threads:
        thread.start()
    _wait_until(lambda: pool._numbers.__reduce__()[1][0] >= 6)  # all five have arrived
    pool.close()
    for thread in threads:
        thread.join()
    assert len(answers) == 5
    assert not Path(f"/proc/{child}").exists()
    with pytest.raises(WorkerError, match="closed"):
        pool.call({"do": "echo"})


def test_kill_fails_what_runs_and_what_waits(tmp_path: Path) -> None:
    pool = _pool()
    mark = tmp_path / "mark"
    errors: list[WorkerError] = []

    def call(task: dict[str, Any]) -> None:
        try:
            pool.call(task)
        except WorkerError as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=({"do": "hang", "mark": str(mark)},)) for _ in range(3)]
    for thread in threads:
        thread.start()
    _wait_until(mark.exists)
    pool.kill()
    for thread in threads:
        thread.join(10)
    assert len(errors) == 3


def test_a_start_that_fails_says_why() -> None:
    with _pool("refuse_to_start") as pool:
        with pytest.raises(PackageError, match=r"package lung 0\.1\.0 is not here"):
            pool.wait_ready(30)
        assert not pool.ready
        with pytest.raises(WorkerError, match="no child process: package lung"):
            pool.call({"do": "echo"})


def test_a_child_that_dies_while_starting_says_so() -> None:
    with _pool("crash_while_starting") as pool, pytest.raises(WorkerCrashedError, match="SIGABRT"):
        pool.wait_ready(30)


def test_an_unknown_entry_says_so() -> None:
    with _pool("nowhere") as pool, pytest.raises(WorkerError, match="AttributeError"):
        pool.wait_ready(30)


def test_a_failed_restart_is_tried_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with _pool("start_once", initial={"mark": str(mark)}) as pool:
        pool.wait_ready(30)
        with pytest.raises(WorkerCrashedError):
            pool.call({"do": "abort"})
        with pytest.raises(WorkerError, match="no child process: started before"):
            pool.call({"do": "echo"})
        mark.unlink()
        _wait_until(lambda: pool.ready)
        assert pool.call({"do": "echo"})["do"] == "echo"


_PARENT = """
import sys, threading
sys.path[:] = {path!r}
from service.inference.worker import WorkerPool
pool = WorkerPool("worker_entries:obey", size=1, deadline_seconds=60, memory_bytes=None, initial={{}})
print(pool.call({{"do": "pid"}})["pid"], flush=True)
if {mark!r}:
    threading.Thread(target=pool.call, args=({{"do": "hold_the_interpreter", "mark": {mark!r}}},), daemon=True).start()
sys.stdin.readline()
"""


def _parent(mark: str = "") -> "subprocess.Popen[str]":
    source = _PARENT.format(path=sys.path, mark=mark)
    return subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _read_child(parent: "subprocess.Popen[str]") -> Path:
    assert parent.stdout is not None
    return Path("/proc") / parent.stdout.readline().strip()


def test_a_killed_parent_leaves_no_orphan_not_even_a_busy_one(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with _parent(str(mark)) as parent:
        child = _read_child(parent)
        _wait_until(mark.exists)
        assert child.exists()
        parent.kill()
        _wait_until(lambda: not child.exists() or "zombie" in (child / "status").read_text(), seconds=3)


def test_a_parent_that_forgets_to_close_ends_all_the_same() -> None:
    with _parent() as parent:
        child = _read_child(parent)
        _, _ = parent.communicate("\n", timeout=10)
        assert parent.returncode == 0
        _wait_until(lambda: not child.exists())


def test_every_replaced_child_is_reported_with_what_ended_it() -> None:
    events: list[Event] = []
    with _pool(deadline_seconds=1, observer=events.append) as pool:
        pool.wait_ready(30)
        assert events == []
        with pytest.raises(WorkerCrashedError):
            pool.call({"do": "abort"})
        pool.call({"do": "pid"})
        with pytest.raises(WorkerTimeoutError):
            pool.call({"do": "hang"})
        pool.call({"do": "pid"})
    assert events == [WorkerRestarted(reason="crashed"), WorkerRestarted(reason="deadline")]


def test_a_pool_without_a_child_says_why() -> None:
    with _pool("refuse_to_start") as pool:
        with pytest.raises(PackageError):
            pool.wait_ready(30)
        assert "package lung 0.1.0 is not here; install it" in pool.problem
        with pytest.raises(WorkerUnavailableError, match="install it"):
            pool.call({"do": "pid"})


# --- children one by one --------------------------------------------------------------------------------------------


def test_every_child_can_be_asked(tmp_path: Path) -> None:
    with _pool(size=2) as pool:
        pool.wait_ready(30)
        busy = threading.Thread(
            target=pool.call, args=({"do": "sleep", "seconds": 1.0, "log": str(tmp_path / "log"), "name": "x"},)
        )
        busy.start()
        answers = pool.call_each({"do": "pid"})
        busy.join()
        assert len({answer["pid"] for answer in answers if isinstance(answer, dict)}) == 2


def test_a_child_that_gives_no_answer_hides_no_other_and_is_replaced() -> None:
    with _pool(size=2) as pool:
        pool.wait_ready(30)
        answers = pool.call_each({"do": "abort"})
        assert [type(answer) for answer in answers] == [WorkerCrashedError] * 2
        assert pool.call({"do": "echo"})["do"] == "echo"


def test_children_of_a_pool_that_was_closed_answer_that_they_are_gone() -> None:
    with _pool() as pool:
        pool.wait_ready(30)
    (answer,) = pool.call_each({"do": "pid"})
    assert isinstance(answer, WorkerUnavailableError)


def test_each_child_reports_of_its_start_also_one_that_replaces_another() -> None:
    reports: list[dict[str, Any]] = []
    with _pool("Reporting", on_start=reports.append) as pool:
        pool.wait_ready(30)
        assert reports == [pool.call({"do": "pid"})]
        with pytest.raises(WorkerCrashedError):
            pool.call({"do": "kill"})
        _wait_until(lambda: len(reports) == 2)
        assert reports[1] == pool.call({"do": "pid"}) != reports[0]


def test_a_child_that_lost_its_device_is_replaced_and_nothing_is_said_of_the_study(pool: WorkerPool) -> None:
    before = pool.call({"do": "pid"})
    with pytest.raises(WorkerUnavailableError, match="719"):
        pool.call({"do": "lose_the_device"})
    assert pool.call({"do": "pid"}) != before


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_IDLE is Linux's")
def test_children_may_be_told_to_take_idle_time_only(pool: WorkerPool) -> None:
    with _pool(idle=True) as idle:
        idle.wait_ready(200)
        assert idle.call({"do": "scheduler"}) == {"policy": os.SCHED_IDLE}
    assert pool.call({"do": "scheduler"}) == {"policy": os.SCHED_OTHER}


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="a kernel without autogroups")
def test_such_children_give_way_to_other_sessions_too(pool: WorkerPool) -> None:
    """Between autogroups the policy of one process does not count: beside another session it got half of a core."""
    with _pool(idle=True) as idle:
        idle.wait_ready(200)
        assert idle.call({"do": "autogroup"})["said"].endswith("nice 19")
    assert pool.call({"do": "autogroup"})["said"].endswith("nice 0")
