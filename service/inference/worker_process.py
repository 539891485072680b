# SPDX-License-Identifier: Apache-2.0
"""The parent's end of one child process: start, ask within a deadline, say how it died."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from service.domain.errors import (
    DokueiError,
    WorkerCrashedError,
    WorkerError,
    WorkerTimeoutError,
    WorkerUnavailableError,
)

# A fresh interpreter, not a fork (threads and CUDA do not survive one), and not multiprocessing's spawn, which imports
# the parent's main module again and reaps children from any thread.
_BOOTSTRAP: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from service.inference.worker_child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_STOP_SECONDS: Final = 5.0
MAX_REPLY_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrder:
    """How a child is started; see WorkerPool."""

    entry: str
    initial: dict[str, Any]
    memory_bytes: int | None
    idle: bool = False


class WorkerProcess:
    """One child. Start it from a thread that outlives it: the kernel ends it together with that thread (prctl(2))."""

    def __init__(self, order: WorkerOrder) -> None:
        ours, theirs = socket.socketpair()
        arguments = [json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        # Native libraries and pydicom print elements' values, hence patients, to standard error: nowhere they go.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is the parent's business
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._timed_out = False
        self._order = order

    def warm(self, *, seconds: float) -> dict[str, Any]:
        """Have the child import and warm its entry; return what its handler reports of that.

        Raises
        ------
        DokueiError
            What the entry raised, or how the child died.
        """
        order = {
            "entry": self._order.entry,
            "initial": self._order.initial,
            "memory_bytes": self._order.memory_bytes,
            "idle": self._order.idle,
        }
        return self._exchange(order, seconds=seconds)

    def ask(self, task: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Return the child's answer; see WorkerPool.call for what is raised."""
        return self._exchange(task, seconds=seconds)

    @property
    def process_id(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """The child runs."""
        return self._process.poll() is None

    @property
    def end(self) -> str:
        """What ended the child, as a slug: "deadline" or "crashed"."""
        return "deadline" if self._timed_out else "crashed"

    def stop(self) -> None:
        """Close the socket, which ends an idle child; kill it if it does not end."""
        self._connection.close()
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the child at once and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def _exchange(self, message: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        data = json.dumps(message, allow_nan=False).encode()
        # A timer rather than a poll: it also ends a child that stops in the middle of a message.
        timer = threading.Timer(seconds, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            self._connection.send_bytes(data)
            reply = json.loads(self._connection.recv_bytes(MAX_REPLY_BYTES))
        except (EOFError, OSError, ValueError):
            self.kill()
            raise self._explain_death(seconds) from None
        finally:
            timer.cancel()
        return self._open(reply)

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _explain_death(self, seconds: float) -> WorkerError:
        if self._timed_out:
            return WorkerTimeoutError(
                f"the child process passed its deadline of {seconds:g} s and was killed; "
                "raise inference.deadline_seconds if the machine is slow",
                ended_by="deadline",
            )
        status = self._process.returncode
        if status >= 0:
            return WorkerCrashedError(f"the child process exited with status {status}", ended_by=f"exit {status}")
        name = signal.Signals(-status).name
        return WorkerCrashedError(f"the child process was ended by {name}", ended_by=name)

    def _open(self, reply: dict[str, Any]) -> dict[str, Any]:
        error = reply.get("error")
        if error is None:
            answer: dict[str, Any] = reply["ok"]
            return answer
        if error["type"] == "MemoryError":
            self.kill()  # what is left of its heap is not worth trusting
            raise WorkerCrashedError(
                f"the child process passed its memory limit ({error['message']}); "
                "raise inference.memory_bytes if the study is large",
                ended_by="memory",
            )
        if error["type"] == WorkerUnavailableError.__name__:
            self.kill()  # its device is lost: only a fresh process can have it again
        raise rebuild_error(error)


def rebuild_error(error: dict[str, Any]) -> DokueiError:
    """Return an error of the same class as in the child; WorkerError for a class that is not ours."""
    kind = _error_classes().get(error["type"], WorkerError)
    try:
        rebuilt: DokueiError = kind(error["message"])
    except TypeError:  # the class wants more than a message
        rebuilt = WorkerError(error["message"])
    rebuilt.retryable = error["retryable"]
    return rebuilt


def _error_classes(root: type[DokueiError] = DokueiError) -> dict[str, type[DokueiError]]:
    classes = {root.__name__: root}
    for kind in root.__subclasses__():
        classes |= _error_classes(kind)
    return classes
