# SPDX-License-Identifier: Apache-2.0
"""Source studies on disk."""

from pathlib import Path

import pytest

from harness.studies import source_dataset, stored
from service.domain.instance import Instance


@pytest.fixture(params=["CR", "MG", "CT"])
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sources(modality: str, tmp_path: Path) -> tuple[Instance, ...]:
    return tuple(stored(source_dataset(modality, number), tmp_path / "sources") for number in (1, 2))


@pytest.fixture
def radiograph(tmp_path: Path) -> Instance:
    return stored(source_dataset("CR"), tmp_path / "sources")
