# SPDX-License-Identifier: Apache-2.0
"""Objects that are small on the wire and large in a reader: each is refused soon, and in little memory."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.raw import IMPLICIT, UNDEFINED, body, element, head, implicit, implicit_body, item, part10, sequence
from service.dicom.scan import Scanner
from service.domain.errors import AdmissionError
from service.domain.fault import Fault

SCANNER = Scanner()
CODES = 0x00081140
SECONDS = 2.0
"""Of CPU time; an idle core of 2020 needs a tenth of it. One that follows every item as pydicom does needs 20 s."""
MEGABYTES = 24


def empty_elements(number: int) -> Iterator[bytes]:
    for index in range(number):
        yield element(0x00110000 + (index // 0xF000 << 16) + 0x1000 + index % 0xF000, "OB", b"")


def nested_implicit(levels: int) -> bytes:
    return (implicit(0x0040A730, b"", length=UNDEFINED) + head(0xFFFEE000, UNDEFINED)) * levels


BOMBS: dict[str, tuple[Fault, str, Callable[[], bytes]]] = {
    "nesting 1,000": (Fault.TOO_DEEP, IMPLICIT, lambda: implicit_body(nested_implicit(1_000))),
    "nesting 200,000": (Fault.TOO_DEEP, IMPLICIT, lambda: implicit_body(nested_implicit(200_000))),
    "a million empty items": (
        Fault.TOO_MANY_ITEMS,
        IMPLICIT,
        lambda: implicit_body(implicit(CODES, item() * 1_000_000), at=0x00090000),
    ),
    "a million items of undefined length": (
        Fault.TOO_MANY_ITEMS,
        IMPLICIT,
        lambda: implicit_body(implicit(CODES, item(length=UNDEFINED) * 1_000_000), at=0x00090000),
    ),
    "four million values": (
        Fault.TOO_MANY_VALUES,
        IMPLICIT,
        lambda: implicit_body(implicit(0x00181151, b"1\\" * 4_000_000), at=0x0020000D),
    ),
    "four million numbers": (
        Fault.TOO_MANY_VALUES,
        IMPLICIT,
        lambda: implicit_body(implicit(0x0018602C, bytes(8 << 20)), at=0x0020000D),
    ),
    "500,000 empty private elements": (
        Fault.TOO_MANY_ELEMENTS,
        "1.2.840.10008.1.2.1",
        lambda: body(b"".join(empty_elements(500_000)), at=0x0020000D),
    ),
    "a million fragments": (
        Fault.TOO_MANY_ITEMS,
        "1.2.840.10008.1.2.4.50",
        lambda: body(element(0x7FE00010, "OB", item() * 1_000_000 + head(0xFFFEE0DD, 0), length=UNDEFINED)),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon_and_in_little_memory(tmp_path: Path, name: str) -> None:
    expected, syntax, data_set = BOMBS[name]
    path = part10(tmp_path / "bomb.dcm", data_set(), syntax=syntax)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    with pytest.raises(AdmissionError) as caught:
        SCANNER.scan(path, lenient=True)
    assert caught.value.fault is expected
    assert time.thread_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


def test_a_large_legal_object_passes(tmp_path: Path) -> None:
    """An enhanced multi-frame object of 2,000 frames: 60,000 elements in 6,000 items."""
    frame = item(
        b"".join(
            sequence(tag, item(b"".join(element(0x00209000 + number, "DS", b"1.25") for number in range(9))))
            for tag in (0x00209111, 0x00209113)
        )
    )
    path = part10(tmp_path / "enhanced.dcm", body(sequence(0x52009230, frame * 2_000)))
    assert SCANNER.scan(path)["PatientID"] == "SECRETID"
