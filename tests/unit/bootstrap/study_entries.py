# SPDX-License-Identifier: Apache-2.0
"""Children in place of the one that runs golden studies: no package, but real processes."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLICY_FILE = "policy"
Task = dict[str, Any]


def start(initial: Task) -> Callable[[Task], Task]:
    """Write down how this process is scheduled, and answer with the folder of the package."""
    _write(Path(initial["folder"]))
    return lambda _task: {"studies": [initial["folder"]]}


def hang(initial: Task) -> Callable[[Task], Task]:
    """Never answer."""
    _write(Path(initial["folder"]))

    def answer(_task: Task) -> Task:
        time.sleep(600)
        return {}

    return answer


def _write(folder: Path) -> None:
    partial = folder / "partial"
    partial.write_text(str(os.sched_getscheduler(0)))
    partial.rename(folder / POLICY_FILE)
