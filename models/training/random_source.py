# SPDX-License-Identifier: Apache-2.0
"""Where a fit takes its random numbers from, so that one seed is one result and a run can go on where it stopped."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class RandomSource:
    """A torch and a numpy generator with one seed; beside them torch's global one, which dropout draws from."""

    def __init__(self, seed: int) -> None:
        self.torch = torch.Generator().manual_seed(seed)
        self.numpy = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def state(self) -> dict[str, torch.Tensor | str]:
        """Return the state of all three generators, as tensors and text alone."""
        return {
            "torch": self.torch.get_state(),
            "numpy": json.dumps(self.numpy.bit_generator.state),
            "global": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, torch.Tensor | str]) -> None:
        """Put all three generators where `state` was taken."""
        self.torch.set_state(_tensor(state["torch"]))
        self.numpy.bit_generator.state = json.loads(str(state["numpy"]))
        torch.set_rng_state(_tensor(state["global"]))


def _tensor(value: torch.Tensor | str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise TypeError("the state of a torch generator is a tensor of bytes")
    return value


@contextmanager
def reproducible() -> Iterator[None]:
    """Use deterministic algorithms alone inside the context, and leave torch's global generator as it was found."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
