# SPDX-License-Identifier: Apache-2.0
"""Archives that misbehave beside a good one (goal 18), and one that stops and starts during delivery."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from harness.bad_pacs import start_all
from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.processes import free_port, wait_until
from tests.chaos.kill_node import count_faults
from tests.chaos.studies import CopiedStudy, film_studies
from tests.chaos.verdict import Chaos, Verdict, stopwatch

TIMEOUT_SECONDS = 5.0
ATTEMPT_AT_MOST_SECONDS = TIMEOUT_SECONDS + 5
LAG_AT_MOST_SECONDS = 1.0
STOP_AT_MOST_SECONDS = 10.0
GOOD = "good"


def run_faults(chaos: Chaos) -> Verdict:
    """Deliver to a good archive with and without bad ones beside it; then stop the node while senders are stuck."""
    studies = film_studies(chaos.folder, count=3)
    with stopwatch() as seconds, chaos.running_orthanc() as orthanc:
        alone = _lags(chaos, orthanc, {}, studies[:1])[0]
        servers = start_all()
        ports = {**{name: server.port for name, server in servers.items()}, "refuse": free_port()}
        lag, events, stop_seconds = _lags(chaos, orthanc, ports, studies[1:])
        for server in servers.values():
            server.stop()
    attempts = longest_attempts(events)
    return Verdict(
        name="archives that misbehave",
        database=chaos.database,
        seconds=seconds(),
        faults=(
            *attempt_faults(attempts, expected=ports),
            *lag_faults(alone=alone, beside=lag),
            *stop_faults(stop_seconds),
        ),
        found={
            "longest attempt, s": attempts,
            "lag alone, s": round(alone, 2),
            "lag beside bad archives, s": round(lag, 2),
            "stop, s": round(stop_seconds, 1),
        },
    )


def longest_attempts(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of the longest attempt by destination."""
    longest: dict[str, float] = {}
    for event in events:
        name = str(event["destination"])
        longest[name] = max(longest.get(name, 0.0), round(float(event["seconds"]), 2))
    return longest


def attempt_faults(attempts: Mapping[str, float], *, expected: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for every bad archive that holds a sender too long, or was never tried."""
    silent = [f"no attempt at {name!r} has ended" for name in expected if name not in attempts]
    slow = [
        f"an attempt at {name!r} took {seconds:g} s, more than {ATTEMPT_AT_MOST_SECONDS:g}"
        for name, seconds in attempts.items()
        if seconds > ATTEMPT_AT_MOST_SECONDS
    ]
    return (*silent, *slow)


def lag_faults(*, alone: float, beside: float) -> tuple[str, ...]:
    """Return a sentence when bad archives delay the good one."""
    if beside - alone <= LAG_AT_MOST_SECONDS:
        return ()
    return (f"bad archives delay the good one by {beside - alone:.1f} s",)


def stop_faults(seconds: float) -> tuple[str, ...]:
    """Return a sentence when SIGTERM took too long."""
    return (f"the node took {seconds:.1f} s to stop",) if seconds > STOP_AT_MOST_SECONDS else ()


def _lags(
    chaos: Chaos, orthanc: Orthanc, bad: Mapping[str, int], studies: Sequence[CopiedStudy]
) -> tuple[float, list[dict[str, Any]], float]:
    """Return (longest lag of the good archive, delivery events, seconds that stopping took)."""
    destinations = [_destination(GOOD, orthanc.ae_title, orthanc.dicom_port)]
    destinations += [_destination(name, "BAD", port) for name, port in bad.items()]
    node = chaos.node(changes={"destinations": destinations, "close": {"quiet_seconds": 2, "settle_seconds": 1}})
    node.start()
    try:
        for study in studies:
            dcmsend(node.called, study.files)
        wanted = {GOOD: 2 * len(studies), **dict.fromkeys(bad, 1)}
        with suppress(TimeoutError):  # attempt_faults names them
            wait_until(lambda: _enough(node, wanted), seconds=90, what="not all archives were tried")
        started = time.monotonic()
        node.send_signal(signal.SIGTERM)
        try:
            node.wait_for_end(seconds=60)
        except TimeoutError:
            node.kill()
        stop_seconds = time.monotonic() - started
    finally:
        node.stop()
    events = node.events("object_delivered")
    lags = [float(event["lag_seconds"]) for event in events if event["destination"] == GOOD]
    return max(lags, default=999.0), events, stop_seconds


def _enough(node: NodeProgram, wanted: Mapping[str, int]) -> bool:
    events = node.events("object_delivered")
    return all(sum(event["destination"] == name for event in events) >= number for name, number in wanted.items())


def _destination(name: str, ae_title: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        "ae_title": ae_title,
        "host": "127.0.0.1",
        "port": port,
        "timeout_seconds": TIMEOUT_SECONDS,
        "retry_first_seconds": 1,
        "retry_max_seconds": 5,
    }


def run_restarts(chaos: Chaos) -> Verdict:
    """Kill, stop, freeze and start the archive again and again while results go out; all arrive once."""
    studies = film_studies(chaos.folder, count=3 * chaos.sizes.restarts)
    rng = chaos.rng
    changes = {"close": {"quiet_seconds": 2, "settle_seconds": 1}}
    with (
        stopwatch() as seconds,
        chaos.running_orthanc() as orthanc,
        chaos.running_node(pacs=orthanc, changes=changes) as node,
    ):
        for number in range(chaos.sizes.restarts):
            for study in studies[3 * number : 3 * number + 3]:
                dcmsend(node.called, study.files)
            with _away(orthanc, ("kill", "stop", "freeze")[number % 3]):
                time.sleep(rng.uniform(1, 5))
            time.sleep(rng.uniform(0.5, 4))
            chaos.progress(f"restart {number + 1} of {chaos.sizes.restarts}")
        rows = node.wait_for_results(len(studies), seconds=600)
        tags = [orthanc.tags(instance) for instance in orthanc.instances()]
    lost, duplicated = count_faults(tags, rows, studies)
    return Verdict(
        name="an archive that stops and starts",
        database=chaos.database,
        lost=lost,
        duplicated=duplicated,
        seconds=seconds(),
        found={"restarts": chaos.sizes.restarts, "studies": len(studies), "objects in the archive": len(tags)},
    )


@contextmanager
def _away(orthanc: Orthanc, how: str) -> Iterator[None]:
    if how == "freeze":
        pid = orthanc.pid
        os.kill(pid, signal.SIGSTOP)
        yield
        os.kill(pid, signal.SIGCONT)
        return
    orthanc.kill() if how == "kill" else orthanc.stop()
    yield
    orthanc.start()
