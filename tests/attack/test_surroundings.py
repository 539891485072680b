# SPDX-License-Identifier: Apache-2.0
"""Attacks on what stands around: the disk, the destinations, and what must not be shipped at all."""

import ast
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.hostile import ct_object
from harness.node import NodeProgram
from harness.phantom import ct_slice
from harness.processes import Program, free_port
from harness.receiver_program import ReceiverProgram
from harness.scripted import ScriptedServer
from harness.stock_scp import StockScp
from harness.watched import Bystander
from harness.wire import ASSOCIATE_AC, ASSOCIATE_RQ, CT_IMAGE, EXPLICIT, Context, Peer, item, pdu, user_information
from service.domain.errors import DestinationUnreachableError
from service.ports import EncodedObject, ResultKind
from service.settings import DestinationSettings
from service.transport.store_scu import StoreScu

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).resolve().parents[2]
StartReceiver = Callable[..., ReceiverProgram]
TIMEOUT_SECONDS = 2.0


def small_disk(folder: Path) -> tuple[str, ...]:
    """A command that runs another one in a namespace where `folder` is a disk of 8 MB."""
    folder.mkdir(parents=True)
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("NAMESPACES MISSING: unshare -rm is not allowed here; the full disk cannot be made")
    script = f'mount -t tmpfs -o size=8m tmpfs "{folder}" && exec "$@"'
    return ("unshare", "-rm", "sh", "-c", script, "sh")


def test_a18_a_full_disk_is_out_of_resources_and_recovers(
    start_receiver: StartReceiver, tmp_path: Path, start_stock: Callable[..., StockScp]
) -> None:
    """The stock server leaves a cut file under its final name, and a status that says: bad image, do not retry."""
    place = tmp_path / "receiver-0" / "data"
    receiver = start_receiver(prefix=small_disk(place))
    inside = Path("/proc") / str(receiver.pid) / "root" / place.relative_to("/")
    big = ct_object(uid="1.2.3.8")[:-128] + bytes(1_500_000)
    big = big[: -1_500_000 - 4] + len(bytes(1_500_000)).to_bytes(4, "little") + bytes(1_500_000)
    with Bystander(receiver.port) as bystander, Peer(receiver.port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        statuses = [peer.store(big.replace(b"1.2.3.8", b"1.2.3.%d" % number)) for number in range(1, 9)]
        assert statuses[0] == 0x0000
        assert statuses[-1] & 0xFF00 == 0xA700
        assert set(statuses) <= {0x0000, 0xA700}
        kept = list((inside / "instances").glob("*/*.dcm"))
        assert len(kept) == statuses.count(0)
        assert len({path.stat().st_size for path in kept}) == 1  # none is cut
        assert list((inside / "incoming").iterdir()) == []
        for path in kept[:3]:
            path.unlink()
        assert peer.store(big.replace(b"1.2.3.8", b"1.2.3.9")) == 0x0000
    bystander.check()


def test_a18_the_stock_server_keeps_a_cut_file(tmp_path: Path) -> None:
    folder = tmp_path / "stock"
    prefix = small_disk(folder / "data")
    port = free_port()
    module = [sys.executable, "-m", "harness.stock_scp", str(folder / "data"), str(port), "{}"]
    command = [*prefix, "env", f"PYTHONPATH={ROOT / 'tests'}", *module]
    program = Program(command, log=tmp_path / "stock.log")
    try:
        program.wait_for_port(port)
        inside = Path("/proc") / str(program.pid) / "root" / (folder / "data").relative_to("/")
        big = ct_object()[:-132] + (1_500_000).to_bytes(4, "little") + bytes(1_500_000)
        with Peer(port) as peer:
            assert peer.associate().kind == ASSOCIATE_AC
            statuses = [peer.store(big.replace(b"1.2.3.4", b"1.2.3.%d" % number)) for number in range(1, 9)]
        assert 0xC211 in statuses
        sizes = {path.stat().st_size for path in inside.iterdir()}
        assert len(sizes) > 1
    finally:
        program.kill()


def accepted(connection: socket.socket) -> None:
    """Accept the first two presentation contexts of whatever is asked, as a PACS would."""
    from harness.scripted import read_pdu

    assert read_pdu(connection)[0] == ASSOCIATE_RQ
    results = b"".join(item(0x21, bytes([number, 0, 0, 0]) + item(0x40, EXPLICIT.encode())) for number in (1, 3))
    fixed = b"\0\1\0\0" + b"PACS".ljust(16) + b"DOKUEI".ljust(16) + bytes(32)
    connection.sendall(pdu(2, fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + results + user_information()))


def zero_window(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    accepted(connection)
    time.sleep(40)


def drips_an_answer(connection: socket.socket) -> None:
    accepted(connection)
    threading.Thread(target=swallow, args=(connection,), daemon=True).start()
    for byte in pdu(4, bytes(200)):
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


def swallow(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65_536):
            pass


def silent_after_association(connection: socket.socket) -> None:
    accepted(connection)
    swallow(connection)


def silent(connection: socket.socket) -> None:
    swallow(connection)
    time.sleep(40)


def resets(connection: socket.socket) -> None:
    accepted(connection)
    connection.recv(10_000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def rejects_our_title(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(pdu(3, b"\0\1\1\7"))
    swallow(connection)


def answers_with_gigabytes(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(pdu(2, length=0xFFFFFFF0))
    with suppress(OSError):
        while True:
            connection.sendall(bytes(65_536))


PACS = {
    "zero window": zero_window,
    "an answer in drips": drips_an_answer,
    "silence after the association": silent_after_association,
    "silence": silent,
    "RST": resets,
    "wrong AE title": rejects_our_title,
    "an answer of gigabytes": answers_with_gigabytes,
}


@pytest.fixture
def big(tmp_path: Path) -> EncodedObject:
    path = ct_slice(tmp_path / "big.dcm", rows=2_048)
    uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    return EncodedObject(kind=ResultKind.HEATMAP, sop_class_uid=CT_IMAGE, sop_instance_uid=uid, path=path)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(script: Callable[[socket.socket], None]) -> ScriptedServer:
        servers.append(ScriptedServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("name", PACS)
def test_a17_g18_a_destination_cannot_hold_the_sender(
    serve: Callable[..., ScriptedServer], big: EncodedObject, name: str
) -> None:
    """tests/integration/test_store_scu_peers.py has the same of real archives."""
    settings = DestinationSettings(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=serve(PACS[name]).port, timeout_seconds=TIMEOUT_SECONDS
    )
    threads = threading.active_count()
    started = time.monotonic()
    try:
        assert StoreScu(settings, ae_title="DOKUEI").send([big]) == {big.sop_instance_uid: None}
    except DestinationUnreachableError as error:
        assert "pacs" in str(error)  # noqa: PT017 - either is an answer in time
    assert time.monotonic() - started <= TIMEOUT_SECONDS + 5
    time.sleep(0.1)
    assert threading.active_count() <= threads + 2  # the scripted archive's own


def test_a17_a_port_that_refuses_is_told_at_once(big: EncodedObject) -> None:
    settings = DestinationSettings(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port(), timeout_seconds=TIMEOUT_SECONDS
    )
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError):
        StoreScu(settings, ae_title="DOKUEI").send([big])
    assert time.monotonic() - started < 1


STOCK_SENDER = """
import sys
from pydicom import dcmread
from pynetdicom import AE
entity = AE("DOKUEI")
entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 1
entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
association = entity.associate("127.0.0.1", int(sys.argv[1]), ae_title="PACS")
print("established", association.is_established, flush=True)
print("status", association.send_c_store(dcmread(sys.argv[2])), flush=True)
"""


def test_a17_the_stock_sender_hangs_on_a_zero_window(
    serve: Callable[..., ScriptedServer], big: EncodedObject, tmp_path: Path
) -> None:
    """With all four timeouts at one second it is still there after eight."""
    log = tmp_path / "sender.log"
    program = Program([sys.executable, "-c", STOCK_SENDER, str(serve(zero_window).port), str(big.path)], log=log)
    try:
        time.sleep(8)
        assert program.runs
        assert "established True" in log.read_text()
        assert "status" not in log.read_text()
    finally:
        program.kill()


def test_a48_nothing_imports_pynetdicoms_applications() -> None:
    """CVE-2026-56445: qrscp writes where a SOP Instance UID says."""
    imported = {
        name
        for path in (ROOT / "service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in names(node)
    }
    assert any(name.startswith("pynetdicom") for name in imported)
    assert not [name for name in imported if name.startswith("pynetdicom.apps")]


def names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_a48_the_stock_archive_writes_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "qrscp" / "instances").mkdir(parents=True)
    port = free_port()
    command = [sys.executable, "-m", "pynetdicom", "qrscp", "--port", str(port), "--database-location", "archive.db"]
    command += ["--instance-location", str(tmp_path / "qrscp" / "instances"), "--bind-address", "127.0.0.1"]
    program = Program(["env", "-C", str(tmp_path / "qrscp"), *command], log=tmp_path / "qrscp.log")
    try:
        program.wait_for_port(port)
        with Peer(port) as peer:
            contexts = (Context(1, CT_IMAGE, (EXPLICIT,)),)
            assert peer.associate(contexts, called="QRSCP").kind == ASSOCIATE_AC
            status = peer.store(ct_object(uid="../outside"), sop_instance_uid="../outside")
    finally:
        program.kill()
    assert status == 0x0000
    assert (tmp_path / "qrscp" / "outside").exists()


def test_a15_a_called_title_that_is_not_ours_is_rejected(node: NodeProgram) -> None:
    with Peer(node.port) as peer:
        assert peer.associate(called="ANYBODY").payload == b"\0\1\1\7"
    with Peer(node.port) as peer:
        assert peer.associate(calling="NOBODY").payload == b"\0\1\1\3"
