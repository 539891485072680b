# SPDX-License-Identifier: Apache-2.0
"""What a scenario found, and what it is given to find it with."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.postgres import PostgresServer
from harness.processes import free_port
from models.phantoms.dicom import phantom_uid

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class SkippedError(Exception):
    """This machine does not allow the scenario; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of build/chaos.json. It passes when nothing was lost or doubled and `faults` is empty."""

    name: str
    database: str = "sqlite"
    kills: int = 0
    lost: int = 0
    duplicated: int = 0
    seconds: float = 0.0
    faults: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""

    @property
    def passed(self) -> bool:
        return not (self.lost or self.duplicated or self.faults or self.skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How often each scenario does what it does; the defaults are those of the goals."""

    kills: int = 200
    studies: int = 240
    cuts: int = 1_000
    copies: int = 100
    senders: int = 20
    restarts: int = 10


@dataclass(kw_only=True)
class Chaos:
    """What a scenario works with: a folder, a database, a seed."""

    folder: Path
    database: str = "sqlite"
    sizes: Sizes = field(default_factory=Sizes)
    seed: int = 20261120
    postgres: PostgresServer | None = None
    progress: Callable[[str], None] = lambda _text: None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def rng(self) -> random.Random:
        return random.Random(self.seed)

    def node(self, *, pacs: Orthanc | None = None, changes: dict[str, Any] | None = None) -> NodeProgram:
        """Return a node that does not run yet, in a folder and a database of its own."""
        number = next(self._numbers)
        address = (pacs.ae_title, pacs.dicom_port) if pacs else ("NOBODY", free_port())
        url = self.postgres.database() if self.postgres else None
        return NodeProgram(self.folder / f"node-{number}", pacs=address, changes=changes, database_url=url)

    @contextmanager
    def running_node(
        self, *, pacs: Orthanc | None = None, changes: dict[str, Any] | None = None
    ) -> Iterator[NodeProgram]:
        """Run a node of its own."""
        node = self.node(pacs=pacs, changes=changes)
        try:
            node.start()
            yield node
        finally:
            node.stop()

    @contextmanager
    def running_orthanc(self) -> Iterator[Orthanc]:
        """Run an Orthanc of its own."""
        orthanc = Orthanc(self.folder / f"orthanc-{next(self._numbers)}")
        try:
            orthanc.start()
            yield orthanc
        finally:
            orthanc.stop()

    def uid(self, *parts: object) -> str:
        """Return the UID that belongs to these parts in this scenario's folder."""
        return phantom_uid("chaos", self.folder.name, *parts)


QUIET = {"rules": [], "close": {"quiet_seconds": 600}}
"""Sections for a node that only receives."""


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds since the start."""
    started = time.monotonic()
    yield lambda: round(time.monotonic() - started, 1)


def in_parallel(work: Callable[[Item], Answer], items: Iterable[Item], *, threads: int) -> list[Answer]:
    """Do it for all items, side by side; the first exception comes out."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(work, items))


def in_background(work: Callable[[], None]) -> threading.Thread:
    """Start it in a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
