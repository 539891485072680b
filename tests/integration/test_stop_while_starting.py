# SPDX-License-Identifier: Apache-2.0
"""A node that is asked to stop while it starts ends in order, whatever it had opened by then."""

import signal
from pathlib import Path

from harness.node import NodeProgram
from harness.processes import listens, wait_until

TERM = 1 << (signal.SIGTERM - 1)


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & TERM)


def test_sigterm_before_the_ports_are_open_is_a_stop_in_order(tmp_path: Path) -> None:
    node = NodeProgram(tmp_path, pacs=("PACS", 1))
    node.start(wait=False)
    wait_until(lambda: catches_sigterm(node.pid), seconds=60, what="SIGTERM ends the node where it stands")
    assert not listens(node.port), "the node was faster than its test"
    node.send_signal(signal.SIGTERM)
    assert node.wait_for_end(seconds=60) == 0
    assert [event["reason"] for event in node.events("node_stopping")] == ["SIGTERM"]
    assert "Traceback" not in node.log
