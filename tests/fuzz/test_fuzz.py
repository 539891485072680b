# SPDX-License-Identifier: Apache-2.0
"""A minute of spoiled input for every parser of a peer's bytes; `make fuzz` goes on for hours with atheris."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzz.mutation import regressions, seeds, spoil
from fuzz.targets import TARGETS

EXAMPLES, CASES_PER_EXAMPLE = 300, 25
"""7 targets x 300 x 25 = 52,500 cases."""
SLOWEST_SECONDS = 2.0
"""No input of 40 kB may cost more, whatever it says."""


def try_case(target: str, data: bytes) -> None:
    """Run a target; a find is named with the bytes to keep as tests/fuzz/regressions/TARGET--WHAT.bin."""
    started = time.process_time()
    try:
        TARGETS[target](data)
    except Exception as error:
        raise AssertionError(f"{target}: {type(error).__name__}: {error}; keep {data.hex()}") from error
    assert time.process_time() - started < SLOWEST_SECONDS, f"{target}: too slow; keep {data.hex()}"


@pytest.mark.parametrize("target", TARGETS)
def test_spoiled_input_is_understood_or_refused(target: str) -> None:
    known = seeds(target)
    assert known

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 1 << 64))
    def run(number: int) -> None:
        chance = random.Random(number)
        for _ in range(CASES_PER_EXAMPLE):
            try_case(target, spoil(chance.choice(known), known, chance))

    run()


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_understood_or_refused(target: str, data: bytes) -> None:
    try_case(target, data)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_read(target: str) -> None:
    for data in seeds(target):
        try_case(target, data)


@pytest.mark.parametrize("path", regressions(), ids=lambda path: path.stem)
def test_a_bug_stays_fixed(path: Path) -> None:
    try_case(path.stem.partition("--")[0], path.read_bytes())
