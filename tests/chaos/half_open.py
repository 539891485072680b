# SPDX-License-Identifier: Apache-2.0
"""Peers whose line goes dead without a word (goal 19): in a network namespace whose cable is pulled."""

import ipaddress
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.processes import wait_until
from tests.chaos.verdict import QUIET, Chaos, SkippedError, Verdict, stopwatch

HOST, PEER = "10.213.71.1", "10.213.71.2"
NAMESPACE, OUTER, INNER = "dokuei-chaos", "dokuei-c0", "dokuei-c1"
RECLAIMED_WITHIN_SECONDS = {"in the middle of a PDU": 10.0, "idle": 45.0}
SLACK_SECONDS = 2.0
"""What this test itself may be late."""
TESTS = Path(__file__).parents[1]

PEER_PROGRAM = f"""
import sys, time
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]
from harness.modality import Modality, slice_dataset
modality = Modality(int(sys.argv[1]), host={HOST!r})
if sys.argv[2] == "in the middle of a PDU":
    dataset = slice_dataset("1.2.3.4.5", study_instance_uid="1.2.3.4", size_bytes=100_000)
    request = modality.request("1.2.3.4.5", dataset)
    modality.socket.sendall(request[:40_007])
print("ready", flush=True)
time.sleep(3600)
"""


@contextmanager
def cable() -> Iterator[None]:
    """A network namespace that a pair of virtual cards joins to this one."""
    _remove()
    commands = (
        f"ip netns add {NAMESPACE}",
        f"ip link add {OUTER} type veth peer name {INNER} netns {NAMESPACE}",
        f"ip addr add {HOST}/24 dev {OUTER}",
        f"ip link set {OUTER} up",
        f"ip netns exec {NAMESPACE} ip addr add {PEER}/24 dev {INNER}",
        f"ip netns exec {NAMESPACE} ip link set {INNER} up",
    )
    try:
        for command in commands:
            answer = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if answer.returncode:
                raise SkippedError(f"no network namespace here ({command}: {answer.stderr.strip()}); run as root")
        yield
    finally:
        _remove()


def pull() -> None:
    """Pull the cable: no packet passes, and nobody is told."""
    _ip("netns", "exec", NAMESPACE, "ip", "link", "set", INNER, "down")


def plug_in() -> None:
    """Put the cable back."""
    _ip("netns", "exec", NAMESPACE, "ip", "link", "set", INNER, "up")


def run(chaos: Chaos) -> Verdict:
    """Pull the cable in the middle of a PDU and between two; see when the node lets go of the connection."""
    changes = {**QUIET, "peers": [{"name": "modality", "ae_title": "MODALITY", "address": "10.213.71.0/24"}]}
    found: dict[str, float] = {}
    with stopwatch() as seconds, cable():
        node = chaos.node(changes=changes)
        node.change({"node": {"host": HOST}})
        node.start(wait=False)
        try:
            wait_until(lambda: bool(node.events("node_started")), seconds=90, what="the node has not started")
            for moment, limit in RECLAIMED_WITHIN_SECONDS.items():
                found[moment] = _seconds_to_reclaim(node.port, moment, patience=2 * limit)
            parts = len(list((node.folder / "data" / "incoming").iterdir()))
        finally:
            node.stop()
    faults = reclaim_faults(found)
    return Verdict(
        name="half-open peers",
        database=chaos.database,
        seconds=seconds(),
        faults=(*faults, f"{parts} parts of files are left") if parts else faults,
        found={f"reclaimed {moment}, s": round(value, 1) for moment, value in found.items()},
    )


def reclaim_faults(found: dict[str, float]) -> tuple[str, ...]:
    """Return a sentence for every connection that was held too long."""
    return tuple(
        f"{moment}: held for {seconds:.0f} s, more than {RECLAIMED_WITHIN_SECONDS[moment]:g}"
        for moment, seconds in found.items()
        if seconds > RECLAIMED_WITHIN_SECONDS[moment] + SLACK_SECONDS
    )


def _seconds_to_reclaim(port: int, moment: str, *, patience: float) -> float:
    command = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-c", PEER_PROGRAM, str(port), moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:
        try:
            if peer.stdout is None or peer.stdout.readline() != "ready\n":
                raise RuntimeError("the peer in the namespace did not get its association")
            time.sleep(0.3)
            pull()
            started = time.monotonic()
            while established(port) and time.monotonic() - started < patience:
                time.sleep(0.1)
            return time.monotonic() - started
        finally:
            peer.kill()
            plug_in()


def established(port: int) -> int:
    """Return how many connections to HOST:port are established on our side, as /proc/net/tcp tells it."""
    octets = ipaddress.ip_address(HOST).packed
    local = f"{int.from_bytes(octets, 'little'):08X}:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(fields[1] == local and fields[3] == "01" for fields in map(str.split, lines))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _remove() -> None:
    for arguments in (["link", "del", OUTER], ["netns", "del", NAMESPACE]):
        subprocess.run(["ip", *arguments], capture_output=True, check=False)
