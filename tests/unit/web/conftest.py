# SPDX-License-Identifier: Apache-2.0
"""A ledger with a study in every state, and the pages over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ledgers import data_folder, fill
from harness.status_page import NOW, Place, Recorded, storage_of
from service.storage import create_database, migrate


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = data_folder(tmp_path_factory.mktemp("status"))
    yield from _place(folder)


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """A ledger that a test may change."""
    yield from _place(data_folder(tmp_path))


def _place(folder: Path) -> Iterator[Place]:
    writing = create_database(folder)
    migrate(writing)
    fill(writing, NOW)
    storage, reading = storage_of(folder, None)
    yield Place(storage, writing, reading)
    reading.dispose()
    writing.dispose()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
