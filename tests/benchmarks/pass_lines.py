# SPDX-License-Identifier: Apache-2.0
"""What each benchmark must reach: data, apart from the code that measures."""

import re
from dataclasses import dataclass

from tests.benchmarks.measure import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class PassLine:
    """Applies to measurements whose name and peer match whole; exactly one bound is set."""

    name: str
    against: str = ""
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    value_at_most: float | None = None
    value_at_least: float | None = None

    def covers(self, entry: Measurement) -> bool:
        """Whether this line speaks of the measurement."""
        return bool(re.fullmatch(self.name, entry.name) and re.fullmatch(self.against, entry.against))

    def reached_by(self, entry: Measurement) -> bool:
        """Whether the measurement is on the right side of the bound."""
        if self.ratio_at_least is not None:
            return entry.ratio >= self.ratio_at_least
        if self.ratio_at_most is not None:
            return entry.ratio <= self.ratio_at_most
        if self.value_at_most is not None:
            return entry.value <= self.value_at_most
        return entry.value >= (self.value_at_least or 0.0)

    def __str__(self) -> str:
        if self.ratio_at_least is not None:
            return f"ratio >= {self.ratio_at_least:g}"
        if self.ratio_at_most is not None:
            return f"ratio <= {self.ratio_at_most:g}"
        if self.value_at_most is not None:
            return f"<= {self.value_at_most:g}"
        return f">= {self.value_at_least:g}"


BLAST = r"receive \(not flushed\) {kind}, {senders}, blast"
PASS_LINES = (
    PassLine(
        name=BLAST.format(kind="(CT|DX|MG) .*", senders=r"\d senders?"),
        against="DCMTK storescp --fork",
        ratio_at_least=1.0,
    ),
    PassLine(name=BLAST.format(kind=".*", senders="8 senders"), against="pynetdicom storescp", ratio_at_least=5.0),
    PassLine(
        name=r"receive \(not flushed\) (CT|DX|MG) .*, \d senders?, storescu with NODELAY",
        against="DCMTK storescp --fork",
        ratio_at_least=1.0,
    ),
    PassLine(
        name=r"receive \(not flushed\) .*, unmodified storescu",
        against="DCMTK storescp --fork(, as it comes)?",
        ratio_at_least=20.0,
    ),
    PassLine(name=r"receive \(durable\) .*", against=r"C program: write, fsync", ratio_at_least=0.8),
    PassLine(name="association set-up and release", against="", value_at_most=2.0),
    PassLine(name=r"send .*", against="storescu with NODELAY", ratio_at_least=0.8),
    PassLine(name=r"one object of .*: growth of memory", value_at_most=64.0),
    PassLine(name="100 idle associations", value_at_most=5.0),
    PassLine(name="CPU per GB, .*", against="DCMTK storescp --fork", ratio_at_most=1.0),
    PassLine(name=r"steady .* CT a second.*: memory", value_at_most=400.0),
    PassLine(name=r"steady .* CT a second.*: refused or lost", value_at_most=0.0),
    PassLine(name=r"steady .*8 senders: p99 of the response", value_at_most=1.0),
    PassLine(name="instances entered into the ledger and committed, 8 threads", value_at_least=500.0),
    PassLine(name="list of .* studies", against=".*", value_at_most=0.25),
    PassLine(name="instances into a ledger of .* studies", against="alone", ratio_at_least=0.8),
    PassLine(name="burst .*: refused", value_at_most=0.0),
    PassLine(name="burst .*: studies without an answer", value_at_most=0.0),
    PassLine(name="mammogram .*: report and pictures without programs", value_at_most=120.0),
    PassLine(name="files to findings, (chest radiograph|HRCT .*)", against="its graphs", ratio_at_most=1.25),
    PassLine(name="files to findings, .*, with graphs of the published sizes", against=".*", ratio_at_most=1.25),
    PassLine(name="mammogram of 27 MB, file to findings without the graph.*", value_at_most=1.5),
    # Grey is float32 and counts twice; the band of rows that is looked up at a time is less than a hundredth.
    PassLine(name="mammogram of 27 MB, file to display grey: copies .*", value_at_most=3.0),
    PassLine(name="HRCT of 300 slices, .*: decoding, volume, lungs, writing", value_at_most=20.0),
    PassLine(name="HRCT of .* slices, .*: memory", value_at_most=2048.0),
    PassLine(name=r"scrape of 20 peers and 10 packages .*", value_at_most=50.0),
    PassLine(name=r"restart with .* instances in the ledger", value_at_most=5.0),
)


def line_for(entry: Measurement) -> PassLine | None:
    """Return the pass line of a measurement, if it has one."""
    return next((line for line in PASS_LINES if line.covers(entry)), None)
