# SPDX-License-Identifier: Apache-2.0
"""What every benchmark is given: places to work in, how thorough to be, and the C sender."""

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.benchmarks.objects import Kind, Template, image_template
from tests.benchmarks.programs import Blasted, compiled, run_json
from tests.benchmarks.receivers import Callee

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
PDU_BYTES = 131_072


@dataclass(kw_only=True)
class Bench:
    """`disk` is a folder on a real file system, `memory` one on tmpfs; both are emptied by whoever made them."""

    disk: Path
    memory: Path
    samples: Path
    repeats: int = 5
    quick: bool = False
    load_seconds: float = 60.0
    graphs: str = ""
    """Regular expression over the titles of graphs: which of them are measured."""
    advance: Callable[[str], None] = lambda _text: None
    _runs: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def senders(self) -> tuple[int, ...]:
        return (1, 4, 8)

    @property
    def run_seconds(self) -> float:
        """How long one timed run should last."""
        return 0.3 if self.quick else 1.5

    @property
    def run_bytes(self) -> float:
        """How much one timed run may send."""
        return 3e8 if self.quick else 1.5e9

    @cached_property
    def template(self) -> Callable[[Kind], Template]:
        made: dict[str, Template] = {}

        def template(kind: Kind) -> Template:
            if kind.name not in made:
                made[kind.name] = image_template(kind, self.memory / "templates")
            return made[kind.name]

        return template

    def next_run(self) -> int:
        """Return a number of ten digits that no other run has had."""
        return 1_000_000_000 + (os.getpid() % 100_000) * 10_000 + next(self._runs)

    def blast(
        self, callee: Callee, sop_class_uid: str, dataset: Path, *, count: int, senders: int, rate: float = 0.0
    ) -> Blasted:
        """Send `count` copies from each sender and return what became of them."""
        called = callee.called
        command = [str(compiled("blast")), "127.0.0.1", str(called.port), called.calling, called.ae_title]
        command += [sop_class_uid, EXPLICIT_VR_LITTLE_ENDIAN, str(PDU_BYTES), str(dataset)]
        command += [str(count), str(senders), str(self.next_run()), str(rate)]
        return Blasted(**run_json(command))

    def count_for(self, objects_per_second: float, size_bytes: int, senders: int, *, most: int = 100_000) -> int:
        """Return how many objects each sender sends in a timed run, when a receiver takes so many a second."""
        total = min(objects_per_second * self.run_seconds, self.run_bytes / size_bytes, most)
        return max(1, round(total / senders))


def settle_disk() -> None:
    """Let what others left unwritten reach the disk, so that a timed run does not pay for it."""
    os.sync()


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
