# SPDX-License-Identifier: Apache-2.0
"""Objects that are made to cost, to be read in two ways, to name files or to write log lines.

They go to the whole node: what an object may be is decided behind the association, before anything is kept.
"""

import json
import struct
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

import pytest
from pydicom import dcmread

from harness.hostile import (
    EMPTY_ITEM,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    SEQUENCE_TAG,
    ct_object,
    nested,
    private_elements,
    sequence,
    to_implicit,
)
from harness.node import NodeProgram
from harness.stock_scp import StockScp
from harness.watched import MIB, Bystander, Cost, Growth
from harness.wire import (
    ASSOCIATE_AC,
    CT_IMAGE,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED,
    Context,
    Peer,
    element,
    even,
)

pytestmark = pytest.mark.timeout(120)

StartStock = Callable[..., StockScp]
EXPLICIT_ONLY = (Context(1, CT_IMAGE, (EXPLICIT,)),)
BUSY = 4
"""A machine that runs other tests at the same time takes longer; half a second is the figure of an idle one."""
IMPLICIT_ONLY = (Context(1, CT_IMAGE, (IMPLICIT,)),)


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def store(
    port: int, data: bytes, *, uid: str = "1.2.3.4", contexts: tuple[Context, ...] = EXPLICIT_ONLY
) -> tuple[int, float]:
    """Store an object; returns the status and the seconds from the last byte to the answer."""
    with Peer(port, seconds=60) as peer:
        assert peer.associate(contexts).kind == ASSOCIATE_AC
        peer.send_object(data, sop_instance_uid=uid)
        started = time.monotonic()
        status = peer.status()
        return status, time.monotonic() - started


def said(log: str) -> Counter[str]:
    """How often each event stands in the log; lines about the start, connections and packages aside."""
    lines = [json.loads(line) for line in log.splitlines()]
    counts = Counter(str(line["event"]) for line in lines if not str(line.get("library", "")).startswith("dbos"))
    packages = ("package_loaded", "golden_tested")
    others = (*packages, "association_accepted", "connection_dropped", "node_started", "worker_restarted")
    return Counter({event: count for event, count in counts.items() if event not in others})


def files(node: NodeProgram) -> set[Path]:
    return set((node.folder / "data" / "instances").rglob("*.dcm"))


def refused(node: NodeProgram, data: bytes, *, contexts: tuple[Context, ...] = EXPLICIT_ONLY) -> int:
    """Check that the node refuses an object quickly, cheaply and in one line, and keeps nothing; returns the status."""
    log, kept, cost = node.log, files(node), Cost(node.pid)
    spent = []
    with Bystander(node.port, pause_seconds=1) as bystander, Growth(cost) as growth:
        for _ in range(2):
            before = cost.cpu_seconds
            status, seconds = store(node.port, data, contexts=contexts)
            spent.append(min(cost.cpu_seconds - before, seconds))  # other programs' time does not count
    bystander.check()
    assert status not in {0x0000, -1}, hex(status)
    assert status >= 0xA000 or status in {0x0110, 0x0117, 0x0122}, hex(status)
    assert min(spent) < BUSY * 0.5
    assert growth.bytes < 256 * MIB
    assert files(node) == kept
    lines = said(node.log.removeprefix(log))
    assert lines.pop("instance_received") == 2
    assert lines.pop("admission_refused", 0) <= 2  # why
    assert lines.pop("quarantine_entered", 0) <= 1  # the same bytes once
    assert lines.pop("library_log", 0) <= 2  # pydicom on an escape sequence: its place, without its words
    assert not lines
    return status


def implicit_values(count: int) -> bytes:
    """A CT slice in Implicit VR with one DS of this many values."""
    spacing = struct.pack("<HHI", 0x0018, 0x1149, 2 * count) + b"1\\" * (count - 1) + b"1 "
    plain = to_implicit(ct_object())
    at = plain.index(struct.pack("<HH", 0x0020, 0x000D))
    return plain[:at] + spacing + plain[at:]


STRUCTURES = {
    "33 levels": ct_object(nested(33)),
    "1,000 levels": ct_object(nested(1_000)),
    "200,000 levels": ct_object(nested(200_000)),
    "1,000,000 items": ct_object(sequence(EMPTY_ITEM * 1_000_000)),
    "500,000 elements": ct_object(*private_elements(1)).replace(
        private_elements(1)[0], b"".join(private_elements(500_000))
    ),
    "length past the end": ct_object()[:-140] + element(0x00324000, b"LT", b"x", length=60_000),
    "length of pixels past the end": ct_object(without=[PIXEL_DATA])
    + element(PIXEL_DATA, b"OW", bytes(16), length=0xFFFFFFF0),
    "item past the end": ct_object(sequence(struct.pack("<HHI", 0xFFFE, 0xE000, 0x7FFFFFFF))),
    "sequence without end": ct_object(element(SEQUENCE_TAG, b"SQ", ITEM, length=UNDEFINED)),
    "undefined length of a text": ct_object(element(0x00324000, b"LT", b"text")[:6] + b"\xff\xff" + b"text"),
    "end of an item at the root": ct_object(element(0x00324000, b"LT", b"")) + ITEM_END,
    "end of a sequence at the root": ct_object()[:40] + SEQUENCE_END + ct_object()[40:],
    "data set in another VR than announced": to_implicit(ct_object()),
    "file meta information in the data set": element(0x00020010, b"UI", even(EXPLICIT)) + ct_object(),
    "command elements in the data set": element(0x00000002, b"UI", even(CT_IMAGE)) + ct_object(),
    "nothing": b"",
    "zeros": bytes(1_000),
    "text": b"GET / HTTP/1.1\r\n\r\n" * 10,
}


@pytest.mark.parametrize("data", STRUCTURES.values(), ids=STRUCTURES)
def test_g32_structures_that_cost_or_lie_are_refused(node: NodeProgram, data: bytes) -> None:
    """A09, A10, A12, A14."""
    refused(node, data)


def test_a11_g32_an_element_of_four_million_values(node: NodeProgram) -> None:
    refused(node, implicit_values(4_000_000), contexts=IMPLICIT_ONLY)


TOLERABLE = {
    "odd length": ct_object(element(0x00081030, b"LO", b"abc")),
    "unknown VR": ct_object(element(0x00081030, b"ZZ", b"ab")),
    "one element in Implicit VR": ct_object(struct.pack("<HHI", 0x0008, 0x1030, 4) + b"text"),
    "trailing zeros": ct_object() + bytes(10),
}


@pytest.mark.parametrize("data", TOLERABLE.values(), ids=TOLERABLE)
def test_g32_oddities_are_answered(node: NodeProgram, data: bytes) -> None:
    """Real senders do this; whether it is let in is a setting, but an answer comes at once."""
    status, seconds = min((store(node.port, data) for _ in range(2)), key=lambda answer: answer[1])
    assert status != -1
    assert seconds < BUSY * 0.5


def test_a09_nesting_ends_in_a_traceback_in_the_stock_server(start_stock: StartStock) -> None:
    stock = start_stock(look=True)
    status, _ = store(stock.port, ct_object(nested(400)))
    assert status == 0xC211
    assert "RecursionError" in stock.log or status == 0xC211


@pytest.mark.parametrize(
    ("data", "contexts"),
    [
        (ct_object(sequence(EMPTY_ITEM * 50_000)), EXPLICIT_ONLY),
        (implicit_values(200_000), IMPLICIT_ONLY),
    ],
    ids=["A10", "A11"],
)
def test_a10_a11_small_objects_grow_in_the_stock_server(
    start_stock: StartStock, data: bytes, contexts: tuple[Context, ...]
) -> None:
    """A twentieth of the table's objects; memory grows with the size."""
    stock = start_stock(look=True)
    with Growth(stock.cost) as growth:
        store(stock.port, data, contexts=contexts)
    assert growth.bytes > 40 * len(data)


def test_a14_a_truncated_object_is_a_success_for_the_stock_server(start_stock: StartStock) -> None:
    stock = start_stock()
    status, _ = store(stock.port, STRUCTURES["length of pixels past the end"])
    assert status == 0x0000


PYTHON_CODECS = (
    "punycode", "idna", "utf_7", "utf_16", "utf_32", "utf_8_sig", "base64", "bz2", "hex", "quopri", "rot13", "uu",
    "zlib", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "cp037", "cp437", "cp1252", "koi8_r",
    "mac_roman", "hz", "big5hkscs", "johab", "ptcp154", "tis_620", "iso2022_jp_2004", "palmos",
)  # fmt: skip


def with_charset(name: bytes, text: bytes) -> bytes:
    return ct_object(element(0x00080005, b"CS", even(name, b" ")), element(0x0040A160, b"UT", even(text, b" ")))


def test_a13_a_codec_of_python_is_quadratic_in_the_stock_server(start_stock: StartStock) -> None:
    stock = start_stock(look=True)
    times = [store(stock.port, with_charset(b"punycode", b"a" * size))[1] for size in (100_000, 400_000)]
    assert times[1] > 0.5
    assert times[1] > 2 * times[0]  # four times the text, in theory sixteen times the work; the call itself costs too


def test_g33_no_codec_of_python_is_a_character_set(node: NodeProgram) -> None:
    assert len(PYTHON_CODECS) == 30
    slowest = 0.0
    for name in PYTHON_CODECS:
        data = with_charset(name.encode(), b"a" * 400_000)
        status, seconds = min((store(node.port, data) for _ in range(2)), key=lambda answer: answer[1])
        assert status != -1, name
        slowest = max(slowest, seconds)
    assert slowest < BUSY * 0.5


@pytest.mark.parametrize(
    "data",
    [
        with_charset(b"\\".join([b"ISO 2022 IR 87"] * 9), b"text"),
        with_charset(b"\\".join([b"ISO 2022 IR 13"] * 4_000), b"text"),
        ct_object(
            element(0x00080005, b"CS", b"\\ISO 2022 IR 87"),
            element(0x00081030, b"LO", b"\x1b$B\x1b\x1b$B!!\x1b(" * 5 + b"\x1b"),
        ),
    ],
    ids=["nine values", "4,000 values", "broken escapes"],
)
def test_g33_odd_character_sets_are_answered(node: NodeProgram, data: bytes) -> None:
    status, seconds = min((store(node.port, data) for _ in range(2)), key=lambda answer: answer[1])
    assert status != -1
    assert seconds < BUSY * 0.5


PATIENT_ID, ACCESSION, STUDY = 0x00100020, 0x00080050, 0x0020000D


def identity(tag: int, vr: bytes, value: bytes) -> bytes:
    """A slice whose element has this value instead of its own."""
    return ct_object(element(tag, vr, value), without=[tag])


DOUBTFUL = {
    "Patient ID twice": ct_object(element(PATIENT_ID, b"LO", b"ATTACK-2")),
    "Study UID twice": ct_object(element(STUDY, b"UI", even("1.2.3.9"))),
    "out of order": ct_object(without=[PATIENT_ID]) + element(PATIENT_ID, b"LO", b"ATTACK-2"),
    "two Patient IDs in one": identity(PATIENT_ID, b"LO", b"ATTACK-1\\ATTACK-2 "),
    "two Study UIDs in one": identity(STUDY, b"UI", even("1.2.3\\1.2.4")),
    "newline in Patient ID": identity(PATIENT_ID, b"LO", b'A\n{"event": "forged"}\n '),
    "escape in Patient ID": identity(PATIENT_ID, b"LO", b"A\x1b[2J "),
    "NUL in Patient ID": identity(PATIENT_ID, b"LO", b"A\0B "),
    "64 KB of Patient ID": identity(PATIENT_ID, b"LO", b"A" * 65_534),
    "Study UID that is a path": identity(STUDY, b"UI", even("../../../tmp/attack")),
    "Study UID with NUL": identity(STUDY, b"UI", b"1.2\0.3\0"),
    "Study UID of 65 characters": identity(STUDY, b"UI", even("1." + "2" * 63)),
    "no Study UID": ct_object(without=[STUDY]),
    "no SOP Instance UID": ct_object(without=[0x00080018]),
    "another UID than the command's": ct_object(uid="1.2.3.5"),
    "another class than the command's": identity(0x00080016, b"UI", even("1.2.840.10008.5.1.4.1.1.7")),
}


@pytest.mark.parametrize("data", DOUBTFUL.values(), ids=DOUBTFUL)
def test_g34_an_object_that_may_be_of_two_patients_is_refused(node: NodeProgram, data: bytes) -> None:
    """A43."""
    refused(node, data)
    assert not node.events("forged")


ELSEWHERE = str(Path(gettempdir()) / "attack.dcm")
PATHS = ["../../attack", ELSEWHERE, "..\\attack", "1.2\n3", "1.2\0.3", "CON", "1" * 65, "1.2/3", ".", "..", ""]


@pytest.mark.parametrize("uid", PATHS, ids=[repr(path) for path in PATHS])
def test_a15_g34_a_uid_that_is_a_path_names_no_file(node: NodeProgram, tmp_path: Path, uid: str) -> None:
    def tree() -> set[Path]:
        """All files but those of the quarantine, whose names are digests."""
        found = {path for path in node.folder.rglob("*") if path.suffix in {".dcm", ".part"}}
        return {path for path in found if path.parent.name != "quarantine" or len(path.stem) != 64}

    before = tree()
    log = node.log
    status, _ = store(node.port, ct_object(uid=uid), uid=uid)
    assert status != 0x0000
    assert tree() == before
    assert not Path(ELSEWHERE).exists()
    for line in node.log.removeprefix(log).splitlines():
        assert line.startswith('{"timestamp"')


def test_a15_a_uid_writes_files_and_log_lines_of_the_stock_server(start_stock: StartStock) -> None:
    stock = start_stock()
    assert store(stock.port, ct_object(uid="../attack"), uid="1.2.3")[0] == 0x0000
    assert (stock.folder / "attack.dcm").exists()
    assert store(stock.port, ct_object(uid="1.2\nforged line"), uid="1.2.3")[0] == 0x0000
    assert any(line.startswith("forged line") for line in stock.log.splitlines())
    with Peer(stock.port) as peer:
        assert peer.associate(EXPLICIT_ONLY, called="ANYBODY", calling="NOBODY").kind == ASSOCIATE_AC


def test_a43_two_readers_see_two_patients(start_stock: StartStock) -> None:
    stock = start_stock()
    assert store(stock.port, DOUBTFUL["Patient ID twice"])[0] == 0x0000
    sent = stock.folder / "sent.dcm"
    meta = element(0x00020010, b"UI", even(EXPLICIT))
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    sent.write_bytes(bytes(128) + b"DICM" + length + meta + DOUBTFUL["Patient ID twice"])
    assert dcmread(sent).PatientID == "ATTACK-2"
    dump = subprocess.run(["dcmdump", "+P", "0010,0020", str(sent)], capture_output=True, text=True, check=False)
    assert "[ATTACK-1]" in dump.stdout


def test_the_plain_object_is_let_in(node: NodeProgram) -> None:
    """Without this, every refusal above could be for another reason."""
    uid = new_uid()
    assert store(node.port, ct_object(uid=uid), uid=uid)[0] == 0x0000
    assert store(node.port, ct_object(uid=uid), uid=uid)[0] == 0x0000
    uid = new_uid()
    assert store(node.port, to_implicit(ct_object(uid=uid)), uid=uid, contexts=IMPLICIT_ONLY)[0] == 0x0000


def test_a46_g37_the_preamble_of_a_stored_file_is_zeros(node: NodeProgram) -> None:
    """A C-STORE carries none; whatever stood in the sender's file, ours begins with 128 zeros."""
    uid = new_uid()
    assert store(node.port, ct_object(uid=uid), uid=uid)[0] == 0x0000
    for path in files(node):
        assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert files(node)
