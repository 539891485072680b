# SPDX-License-Identifier: Apache-2.0
"""Tests of the workbench use one thread of torch: they run beside others, and small tensors gain nothing from more."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
