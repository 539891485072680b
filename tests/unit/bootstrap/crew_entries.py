# SPDX-License-Identifier: Apache-2.0
"""Light children for tests of what the parent does with them: no pixels, no ONNX, but real processes."""

import os
import time
from pathlib import Path
from typing import Any

Task = dict[str, Any]


class LightChild:
    """Says of its packages what `initial` says, or what stands in a file named in it."""

    def __init__(self, initial: Task) -> None:
        self._packages: dict[str, Task] = initial["packages"]
        time.sleep(initial.get("start_seconds", 0))

    def report(self) -> Task:
        return {"packages": {key: {**_good(), **self._said(entry)} for key, entry in self._packages.items()}}

    def __call__(self, task: Task) -> Task:
        if task["task"] == "golden":
            return {"packages": {key: self._tested(entry) for key, entry in self._packages.items()}, "events": []}
        if task["task"] == "die":
            os._exit(3)
        time.sleep(float(task["request"]["flags"][0]["message"]) if task["request"]["flags"] else 0)
        key = task.get("package", task["request"]["pipeline"])
        summary = {"outcome": "no_findings", "headline": self._packages[key]["sha256"]}
        return {"summary": summary, "events": []}

    @staticmethod
    def _said(entry: Task) -> Task:
        path = Path(entry.get("device_file", os.devnull))
        return {**({"device": path.read_text()} if path.is_file() else {}), "error": entry.get("error", "")}

    @staticmethod
    def _tested(entry: Task) -> Task:
        drifted = Path(entry.get("drift_file", os.devnull)).is_file()
        return {**_good(), "error": "golden/x.npz: differs by 1" if drifted else ""}


def _good() -> Task:
    return {"device": "cpu", "golden_difference": 0.25, "seconds": 0.1}


def start(initial: Task) -> LightChild:
    """Return the handler of a light child."""
    return LightChild(initial)
