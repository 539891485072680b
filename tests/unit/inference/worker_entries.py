# SPDX-License-Identifier: Apache-2.0
"""Entries that the worker tests run in real child processes; each task says what the child shall do."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.domain.errors import AdmissionError, PackageError, PixelError, StorageError, WorkerUnavailableError
from service.domain.fault import Fault

Task = dict[str, Any]


def obey(initial: Task) -> Callable[[Task], Task]:
    """Return a handler that does what `task["do"]` says."""
    actions = {name.removeprefix("_do_"): action for name, action in globals().items() if name.startswith("_do_")}
    return lambda task: actions[task["do"]](initial | task)


class Reporting:
    """Obeys, and reports of its start."""

    def __init__(self, initial: Task) -> None:
        self._obey = obey(initial)

    def report(self) -> Task:
        return {"pid": os.getpid()}

    def __call__(self, task: Task) -> Task:
        return self._obey(task)


def refuse_to_start(initial: Task) -> Callable[[Task], Task]:
    """Fail as a node without its package fails."""
    raise PackageError("package lung 0.1.0 is not here; install it")


def crash_while_starting(initial: Task) -> Callable[[Task], Task]:
    """Die before being warm."""
    os.abort()


def start_once(initial: Task) -> Callable[[Task], Task]:
    """Start only while a file is absent; the second start of a pool fails."""
    mark = Path(initial["mark"])
    if mark.exists():
        raise PackageError("started before")
    mark.touch()
    return obey(initial)


def start_slowly_after_two(initial: Task) -> Callable[[Task], Task]:
    """Start at once twice; any later start takes a minute, as loading large packages does."""
    mark = Path(initial["mark"])
    with mark.open("a") as stream:
        stream.write("x")
    if len(mark.read_text()) > 2:
        time.sleep(60)
    return obey(initial)


def _do_echo(task: Task) -> Task:
    return task


def _do_pid(task: Task) -> Task:
    return {"pid": os.getpid()}


def _do_scheduler(task: Task) -> Task:
    return {"policy": os.sched_getscheduler(0)}


def _do_autogroup(task: Task) -> Task:
    return {"said": Path("/proc/self/autogroup").read_text().strip()}


def _do_lose_the_device(task: Task) -> Task:
    raise WorkerUnavailableError("CUDA failure 719")


def _do_abort(task: Task) -> Task:
    os.abort()


def _do_segfault(task: Task) -> Task:
    ctypes.string_at(0)
    return {}


def _do_kill(task: Task) -> Task:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _do_exit(task: Task) -> Task:
    os._exit(7)


def _do_hang(task: Task) -> Task:
    Path(task.get("mark", os.devnull)).touch()
    time.sleep(60)
    return {}


def _do_hold_the_interpreter(task: Task) -> Task:
    """Sleep in native code without releasing the interpreter lock, as a hanging extension does."""
    Path(task["mark"]).touch()
    ctypes.PyDLL(None).sleep(60)
    return {}


def _do_sleep(task: Task) -> Task:
    time.sleep(task["seconds"])
    with Path(task["log"]).open("a", encoding="utf-8") as stream:
        stream.write(task["name"] + "\n")
    return {}


def _do_eat_memory(task: Task) -> Task:
    return {"size": len(bytearray(8_000_000_000))}


def _do_big_reply(task: Task) -> Task:
    return {"text": "x" * task["size"]}


def _do_unsayable_reply(task: Task) -> Task:
    return {"score": float("nan")}


def _do_pixel_error(task: Task) -> Task:
    raise PixelError("(7FE0,0010) ends early; send the image again")


def _do_storage_error(task: Task) -> Task:
    raise StorageError("no space")


def _do_fill_the_disk(task: Task) -> Task:
    with Path("/dev/full").open("wb") as stream:
        stream.write(b"x")
    return {}


def _do_admission_error(task: Task) -> Task:
    raise AdmissionError("too deep", fault=Fault.TOO_DEEP)


def _do_bug(task: Task) -> Task:
    raise ValueError("YAMADA^TARO cannot be parsed")


def _do_read_missing(task: Task) -> Task:
    return {"text": Path("/nonexistent").read_text()}


def _do_signal_parent_like(task: Task) -> Task:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    return {"alive": True}
