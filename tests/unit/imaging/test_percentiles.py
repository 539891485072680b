# SPDX-License-Identifier: Apache-2.0
"""Percentiles of large pictures are numpy's, to the last bit, whatever the values are like."""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest

from service.imaging import percentiles as room
from service.imaging.percentiles import percentiles

Values = Callable[[np.random.Generator, int], np.ndarray]
KINDS: dict[str, Values] = {
    "even": lambda generator, count: generator.random(count),
    "bell": lambda generator, count: generator.normal(size=count),
    "long tail": lambda generator, count: generator.exponential(size=count) ** 4,
    "five values": lambda generator, count: np.floor(5 * generator.random(count)),
    "one value": lambda _, count: np.zeros(count),
    "in order": lambda generator, count: np.sort(generator.random(count)),
    "repeated in step with the sample": lambda generator, count: np.resize(generator.random(512), count),
}
ASKED = ((1.0, 99.0), (0.5, 99.5), (0.0, 100.0), (50.0, 33.3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 1_000, 65_536, 100_001, 262_144])
def test_the_answer_is_that_of_numpy(kind: str, count: int) -> None:
    values = KINDS[kind](np.random.default_rng(count), count).astype(np.float32)
    for asked in ASKED:
        assert np.array_equal(percentiles(values, asked), np.percentile(values, asked)), asked


def test_a_sample_that_misleads_costs_time_and_no_correctness() -> None:
    values = np.random.default_rng(5).random(131_072).astype(np.float32)
    values[:: 131_072 // 4_096] += 7  # all of the sample, and none of the others
    assert np.array_equal(percentiles(values, (1.0, 50.0)), np.percentile(values, (1.0, 50.0)))


def test_only_a_small_part_of_a_large_picture_is_put_into_order() -> None:
    values = np.random.default_rng(6).random(1_000_000).astype(np.float32)
    with patch.object(room.np, "partition", wraps=np.partition) as partition:
        percentiles(values, (1.0, 99.0))
    assert max(call.args[0].size for call in partition.call_args_list) < 30_000
