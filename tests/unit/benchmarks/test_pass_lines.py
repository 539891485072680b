# SPDX-License-Identifier: Apache-2.0
"""The pass lines judge the measurements that they are meant for, on both sides of their bound."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.benchmarks.__main__ import BENCHMARKS, as_line
from tests.benchmarks.measure import Measurement, alone, compared, interleaved, spread
from tests.benchmarks.objects import TINY, image_template
from tests.benchmarks.pass_lines import PASS_LINES, line_for

BLAST = "receive (not flushed) {}, blast"
STALL = "receive (not flushed) {}, 1 sender, unmodified storescu"
DURABLE = "receive (durable) {} on ext4, 4 senders, blast"
DCMTK, PYNETDICOM = "DCMTK storescp --fork", "pynetdicom storescp"


def measured(name: str, against: str = "", *, ratio: float = 1.0, value: float = 0.0) -> Measurement:
    return Measurement(name=name, value=value, unit="", against=against, ratio=ratio)


@pytest.mark.parametrize(
    ("name", "against", "good", "bad"),
    [
        (BLAST.format("CT 0.5 MB, 1 sender"), DCMTK, {"ratio": 1.0}, {"ratio": 0.99}),
        (BLAST.format("MG 27 MB, 8 senders"), DCMTK, {"ratio": 1.0}, {"ratio": 0.99}),
        (BLAST.format("10 kB, 8 senders"), PYNETDICOM, {"ratio": 5.0}, {"ratio": 4.9}),
        (
            "receive (not flushed) CT 0.5 MB, 1 sender, unmodified storescu",
            f"{DCMTK}, as it comes",
            {"ratio": 20},
            {"ratio": 19},
        ),
        (
            "receive (durable) DX 12 MB on ext4, 4 senders, blast",
            "C program: write, fsync",
            {"ratio": 0.8},
            {"ratio": 0.7},
        ),
        ("send SR 20 kB to DCMTK storescp", "storescu with NODELAY", {"ratio": 0.8}, {"ratio": 0.79}),
        ("association set-up and release", "", {"value": 2.0}, {"value": 2.1}),
        ("one object of 2048 MiB: growth of memory", "", {"value": 64}, {"value": 65}),
        ("100 idle associations", "", {"value": 5}, {"value": 5.1}),
        ("CPU per GB, CT 0.5 MB, 4 senders, not flushed", DCMTK, {"ratio": 1.0}, {"ratio": 1.1}),
        ("instances entered into the ledger and committed, 8 threads", "", {"value": 500}, {"value": 499}),
        ("HRCT of 300 slices, every slice: decoding, volume, lungs, writing", "", {"value": 20.0}, {"value": 20.1}),
        ("HRCT of 1000 slices, slices 5 mm apart: memory", "", {"value": 2048}, {"value": 2049}),
    ],
)
def test_a_pass_line_has_two_sides(name: str, against: str, good: dict[str, float], bad: dict[str, float]) -> None:
    entry = measured(name, against)
    assert as_line(replace(entry, **good))["reached"] is True  # type: ignore[arg-type]
    assert as_line(replace(entry, **bad))["reached"] is False  # type: ignore[arg-type]


def test_what_has_no_pass_line_is_not_judged() -> None:
    assert line_for(measured(BLAST.format("10 kB, 1 sender"), DCMTK)) is None
    assert as_line(measured("anything"))["reached"] is None


def test_every_pass_line_has_one_bound() -> None:
    for line in PASS_LINES:
        bounds = (line.ratio_at_least, line.ratio_at_most, line.value_at_least, line.value_at_most)
        assert sum(bound is not None for bound in bounds) == 1, line.name


def test_runs_are_interleaved_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"a": lambda: run("a"), "b": lambda: run("b")}, repeats=2)
    assert "".join(order) == "ababab"
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_a_comparison_divides_medians() -> None:
    (entry,) = compared("x", "s", {"ours": [1.0, 2.0, 9.0], "peer": [4.0, 4.0, 1.0]}, ours="ours")
    assert (entry.value, entry.ratio, entry.spread) == (2.0, 0.5, 4.0)
    assert spread([0.0, 0.0]) == 0.0
    assert alone("x", "s", [3.0]).against == ""


def test_the_names_of_benchmarks_can_be_chosen_by() -> None:
    assert {"send", "huge-object", "turnaround", "association-set-up"} <= set(BENCHMARKS)


def test_each_copy_of_a_template_is_another_instance(tmp_path: Path) -> None:
    template = image_template(TINY, tmp_path)
    copies = [dcmread(path) for path in template.copies(tmp_path / "copies", range(3))]
    uids = [str(item.SOPInstanceUID) for item in copies]
    assert uids == [template.sop_instance_uid(number) for number in range(3)]
    assert uids == [str(item.file_meta.MediaStorageSOPInstanceUID) for item in copies]
    assert template.dataset.read_bytes().count(b"I" * 20) == 1


@pytest.mark.skipif(shutil.which("cc") is None, reason="PEERS MISSING: cc; run tests/install_peers.sh")
@pytest.mark.parametrize("name", ["blast", "file_writer"])
def test_the_c_programs_compile_without_a_warning(name: str, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "benchmarks" / f"{name}.c"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / name), str(source), "-lpthread"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
