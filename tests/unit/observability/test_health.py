# SPDX-License-Identifier: Apache-2.0
"""Health is the sum of named checks."""

import pytest

from service.domain.errors import StorageError
from service.observability.health import Health


def test_nothing_to_check_is_well() -> None:
    assert Health().live() == (True, {})


def test_one_bad_check_makes_the_whole_unwell() -> None:
    health = Health()
    health.add_ready("disk", lambda: "")
    health.add_ready("draining", lambda: "the node is stopping")
    assert health.ready() == (False, {"disk": "ok", "draining": "the node is stopping"})
    assert health.live() == (True, {})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StorageError("the ledger is read-only"), "the ledger is read-only"),
        (KeyError("ZZMARKER"), "the check failed with KeyError"),
    ],
)
def test_a_check_that_raises_is_not_well(error: Exception, text: str) -> None:
    def check() -> str:
        raise error

    health = Health()
    health.add_live("ledger", check)
    assert health.live() == (False, {"ledger": text})
