# SPDX-License-Identifier: Apache-2.0
"""The child process: decodes and infers where a crash, a bomb or an endless loop harms nobody else.

Messages are JSON over a socket: the parent sends tasks, the child answers {"ok": ...} or {"error": {...}}.
"""

import ctypes
import errno
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from service.domain.errors import DokueiError, OutOfSpaceError

Handler = Callable[[dict[str, Any]], dict[str, Any]]

_PR_SET_PDEATHSIG: Final = 1
_FRAMES: Final = 3
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_NICEST: Final = "19"


def main(descriptor: int, parent: int) -> None:
    """Serve tasks until the parent closes the socket."""
    _ignore_stop_signals()
    _die_with_parent(parent)
    connection = Connection(descriptor)
    handler = _start(connection)
    if handler is not None:
        _serve(connection, handler)


def _ignore_stop_signals() -> None:
    """Leave stopping to the parent, which lets running tasks finish first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _die_with_parent(parent: int) -> None:
    """Leave no orphan, not even one that is busy: the kernel ends it; elsewhere than on Linux a thread does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold pixels and names


def _take_idle_time_only() -> None:
    """Run when nobody else wants the processor (sched(7)); elsewhere than on Linux, as nicely as can be.

    This process leads a session, and Linux may share time out between sessions first (sched(7), "The autogroup
    feature"): there its policy counts within its session alone, so that the session has to be nice as well.
    """
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with suppress(OSError):  # a kernel without autogroups
            _AUTOGROUP.write_text(_NICEST, encoding="ascii")
    else:
        os.nice(19)


def _start(connection: Connection) -> Handler | None:
    """Import and warm the entry; tell the parent that it is ready and what the handler reports, or why not."""
    order = json.loads(connection.recv_bytes())
    _limit_memory(order["memory_bytes"])
    if order["idle"]:
        _take_idle_time_only()
    module, _, function = order["entry"].partition(":")
    try:
        handler: Handler = getattr(importlib.import_module(module), function)(order["initial"])
    except Exception as error:  # noqa: BLE001 - the outermost loop of this process
        _send(connection, {"error": _describe(error)})
        return None
    _send(connection, {"ok": getattr(handler, "report", dict)()})
    return handler


def _serve(connection: Connection, handler: Handler) -> None:
    while True:
        try:
            task = json.loads(connection.recv_bytes())
        except EOFError:
            return
        _send(connection, _answer(handler, task))


def _answer(handler: Handler, task: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": handler(task)}
    except Exception as error:  # noqa: BLE001 - the outermost loop of this process
        return {"error": _describe(error)}


def _send(connection: Connection, message: dict[str, Any]) -> None:
    try:
        data = json.dumps(message, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        data = json.dumps({"error": _describe(error)}).encode()
    connection.send_bytes(data)


def _describe(error: BaseException) -> dict[str, Any]:
    """Describe an error for the parent.

    Only our own messages are known to hold no patient: of any other error the type and the place are passed on.
    """
    if isinstance(error, DokueiError):
        return {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _describe(OutOfSpaceError("the disk of storage.folder is full; free some space"))
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    place = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    message = f"{type(error).__name__} at {place or 'an unknown place'}"
    return {"type": type(error).__name__, "message": message, "retryable": isinstance(error, OSError)}
