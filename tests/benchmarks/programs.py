# SPDX-License-Identifier: Apache-2.0
"""The C programs beside this file, compiled when they are first needed."""

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

BUILD = Path("build")


@cache
def compiled(name: str) -> Path:
    """Compile tests/benchmarks/<name>.c into build/ and return the program."""
    source, target = Path(__file__).with_name(f"{name}.c"), BUILD / name
    BUILD.mkdir(exist_ok=True)
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(target), str(source), "-lpthread"], check=True)
    return target.resolve()


def run_json(command: list[str], *, seconds: float = 1800) -> dict[str, Any]:
    """Run a program that prints one JSON document; fails with what it complained about."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command[:4])}: exit status {answer.returncode}: {answer.stderr[-500:]}")
    return dict(json.loads(answer.stdout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blasted:
    """What a run of blast did."""

    stored: int
    failures: int
    first_failure: int
    bytes: float
    seconds: float
    associate_and_release_ms: float
    p50_seconds: float
    p99_seconds: float
    max_seconds: float
