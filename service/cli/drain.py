# SPDX-License-Identifier: Apache-2.0
"""`dokuei drain`: the running node takes nothing more in, and ends what it has."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from service.bootstrap.self_test import reached_at
from service.cli.console import complain, console, print_json
from service.cli.signals import no_node, tell
from service.cli.status import open_statistics
from service.domain.entry import CircuitState
from service.ports.statistics import QueueCounts
from service.settings import Settings, load_settings
from service.storage.folder import lock_owner
from service.storage.statistics import CIRCUITS, SqlStatistics

NO_NODE = 2
LOOK_SECONDS = 0.5
CONNECT_SECONDS = 2.0
NOT_WAITED_FOR = ("deliver", "commit", "shadow")
"""Stages that are counted by destination instead, and what nobody waits for."""


def drain(config: Path, *, seconds: float, stop: bool, as_json: bool) -> int:
    """Tell the node, and wait; exit status 1 when something is left."""
    settings = load_settings(config)
    process = lock_owner(settings.storage.folder)
    if process is None:
        complain(f"there is nothing to drain: {no_node(settings.storage, number=signal.SIGUSR2)}")
        return NO_NODE
    if not tell(process, signal.SIGUSR2):
        complain(
            f"the node (process {process}) does not listen to `drain` (yet, or it is an older version); SIGTERM "
            "stops it in order, and what is queued is there at the next start"
        )
        return NO_NODE
    started = time.monotonic()
    left = _wait(settings, open_statistics(settings.storage), ends=started + seconds, quiet=as_json)
    stopped = stop and not left and _stopped(settings, process, ends=time.monotonic() + max(seconds, 60))
    waited = round(time.monotonic() - started, 1)
    if as_json:
        print_json({"drained": not left, "waiting": left, "seconds": waited, "stopped": stopped})
    else:
        _tell(left, waited, stopped=stopped)
    return 1 if left or (stop and not stopped) else 0


def waiting(counts: QueueCounts) -> dict[str, int]:
    """Return what is still to be done, by stage and destination; without what a person holds."""
    stages = {stage: number for stage, number in counts.pending.items() if stage not in NOT_WAITED_FOR}
    held = {name for name, state in counts.circuits.items() if state == CIRCUITS[CircuitState.HELD]}
    for verb, numbers in (("deliver", counts.deliveries_pending), ("commit", counts.commitments_pending)):
        stages |= {f"{verb}.{name}": number for name, number in numbers.items() if name not in held}
    return {stage: number for stage, number in stages.items() if number}


def _wait(settings: Settings, statistics: SqlStatistics, *, ends: float, quiet: bool) -> dict[str, int]:
    told: dict[str, int] = {}
    while True:
        left = {**({"receive": 1} if _listens(settings) else {}), **waiting(statistics.counts())}
        if left and left != told and not quiet:
            console.print("waiting: " + ", ".join(f"{stage} {number}" for stage, number in left.items()))
        told = left
        if not left or time.monotonic() > ends:
            return left
        time.sleep(LOOK_SECONDS)


def _listens(settings: Settings) -> bool:
    """Say whether the node still takes connections: it closes its ports when the last transfer has ended."""
    node = settings.node
    places = [(node.host, node.port), (node.host, node.tls.port if node.tls else None)]
    if settings.dicomweb is not None:
        places.append((settings.dicomweb.host, settings.dicomweb.listens_on))
    return any(_connects(host, port) for host, port in places if port is not None)


def _connects(host: str, port: int) -> bool:
    here = reached_at(host)
    try:
        socket.create_connection((here, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _stopped(settings: Settings, process: int, *, ends: float) -> bool:
    os.kill(process, signal.SIGTERM)
    return _until(lambda: lock_owner(settings.storage.folder) is None, ends=ends)


def _until(condition: Callable[[], bool], *, ends: float) -> bool:
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _tell(left: dict[str, int], seconds: float, *, stopped: bool) -> None:
    if left:
        what = ", ".join(f"{stage} {number}" for stage, number in left.items())
        console.print(
            f"after {seconds} s there is left: {what}; it is kept, and done by this or the next start. A destination "
            "that is down keeps its own: `dokuei status`",
            markup=False,
            style="red",
        )
        return
    end = "and has stopped" if stopped else "and takes nothing in until it is restarted"
    console.print(f"the node has nothing left to do after {seconds} s {end}")
