# SPDX-License-Identifier: Apache-2.0
"""The scenarios of `make chaos` at small sizes, those that take seconds: the whole node from outside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import cutting, disk_full, drain, failing_calls
from tests.chaos.verdict import Chaos, Sizes, SkippedError, Verdict

pytestmark = pytest.mark.peers

SIZES = Sizes(cuts=24, studies=2, restarts=1)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(cutting.run_cuts, id="cut-at-random-bytes"),
        pytest.param(cutting.run_restart, id="killed-in-the-middle-of-c-stores"),
        pytest.param(disk_full.run, id="disk-full"),
        pytest.param(failing_calls.run, id="failing-system-calls"),
        pytest.param(drain.run, id="drain"),
    ],
)
def test_nothing_is_lost_and_nothing_left_behind(scenario: Callable[[Chaos], Verdict], tmp_path: Path) -> None:
    try:
        verdict = scenario(Chaos(folder=tmp_path, sizes=SIZES))
    except SkippedError as reason:
        pytest.skip(f"MACHINE: {reason}")
    assert verdict.passed, verdict
