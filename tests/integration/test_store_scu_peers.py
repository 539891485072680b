# SPDX-License-Identifier: Apache-2.0
"""Results to real archives, and to ones that refuse, fall silent, stop reading or vanish."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.dcmtk import StoreScpProgram
from harness.orthanc import Orthanc
from harness.phantom import ct_slice
from harness.processes import free_port
from harness.scripted import ScriptedServer, read_pdu
from service.domain.errors import DestinationUnreachableError
from service.ports import EncodedObject, IncomingInstance, ResultKind, StoreOutcome
from service.settings import DestinationSettings, NodeSettings, PeerSettings
from service.transport.archive_scp import ArchiveScp
from service.transport.store_scp import StoreScp
from service.transport.store_scu import StoreScu

pytestmark = pytest.mark.peers
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"


def scu(port: int, ae_title: str, *, timeout_seconds: float = 10) -> StoreScu:
    settings = DestinationSettings(
        name="pacs", ae_title=ae_title, host="127.0.0.1", port=port, timeout_seconds=timeout_seconds
    )
    return StoreScu(settings, ae_title="DOKUEI")


def encoded(path: Path) -> EncodedObject:
    dataset = dcmread(path, stop_before_pixels=True)
    return EncodedObject(
        kind=ResultKind.HEATMAP,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        path=path,
    )


@pytest.fixture
def objects(tmp_path: Path) -> list[EncodedObject]:
    return [encoded(ct_slice(tmp_path / f"{number}.dcm")) for number in range(3)]


@pytest.fixture
def big(tmp_path: Path) -> EncodedObject:
    """Eight megabytes: more than all socket buffers on the way."""
    return encoded(ct_slice(tmp_path / "big.dcm", rows=2048))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[ArchiveScp]:
    archive = ArchiveScp(tmp_path / "archive")
    archive.start()
    yield archive
    archive.stop()


def all_stored(objects: list[EncodedObject]) -> dict[str, int]:
    return {item.sop_instance_uid: 0 for item in objects}


def test_delivers_to_orthanc(orthanc: Orthanc, objects: list[EncodedObject]) -> None:
    assert scu(orthanc.dicom_port, "ORTHANC").send(objects) == all_stored(objects)
    assert len(orthanc.instances()) == 3
    for item in objects:
        assert orthanc.find(item.sop_instance_uid)


def test_a_repeated_delivery_adds_nothing_to_orthanc(orthanc: Orthanc, objects: list[EncodedObject]) -> None:
    destination = scu(orthanc.dicom_port, "ORTHANC")
    assert destination.send(objects) == destination.send(objects)
    assert len(orthanc.instances()) == 3


def test_delivers_to_storescp(storescp: StoreScpProgram, objects: list[EncodedObject]) -> None:
    assert scu(storescp.port, "STORESCP").send(objects) == all_stored(objects)
    assert len(storescp.files()) == 3


def test_the_data_set_arrives_byte_for_byte(archive: ArchiveScp, objects: list[EncodedObject]) -> None:
    assert scu(archive.port, "ARCHIVE").send(objects) == all_stored(objects)
    for item, path in zip(objects, archive.arrived, strict=True):
        assert path.stem == item.sop_instance_uid
        assert data_set_bytes(path) == data_set_bytes(item.path)


def data_set_bytes(path: Path) -> bytes:
    dataset = dcmread(path, stop_before_pixels=True)
    meta_bytes = 128 + 4 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    return path.read_bytes()[meta_bytes:]


def test_converts_for_an_archive_that_only_knows_implicit(tmp_path: Path, objects: list[EncodedObject]) -> None:
    program = StoreScpProgram(tmp_path / "implicit", "+xi")
    program.start()
    assert scu(program.port, "STORESCP").send(objects) == all_stored(objects)
    program.stop()
    assert dcmread(program.files()[0]).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"


def test_an_object_of_a_class_that_is_not_taken_has_no_status(
    archive: ArchiveScp, objects: list[EncodedObject], tmp_path: Path
) -> None:
    other = dcmread(ct_slice(tmp_path / "other.dcm"))
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET
    other.save_as(tmp_path / "other.dcm")
    strange = encoded(tmp_path / "other.dcm")
    destination = scu(archive.port, "ARCHIVE")
    assert destination.send([strange, *objects]) == {strange.sop_instance_uid: 0x0122, **all_stored(objects)}
    assert destination.send([strange]) == {strange.sop_instance_uid: 0x0122}


def test_reports_a_failure_status_per_object(objects: list[EncodedObject]) -> None:
    refused = objects[1].sop_instance_uid

    def receive(incoming: IncomingInstance) -> StoreOutcome:
        return StoreOutcome.OUT_OF_RESOURCES if incoming.sop_instance_uid == refused else StoreOutcome.STORED

    node = NodeSettings.model_construct(
        ae_title="PACS", host="127.0.0.1", port=0, max_associations=4, max_pdu_bytes=16_384, idle_seconds=30.0
    )
    peers = [PeerSettings.model_validate({"name": "cad", "ae_title": "DOKUEI", "address": "127.0.0.1"})]
    pacs = StoreScp(
        node, peers=peers, receiver=receive, observer=lambda _event: None, transfer_syntaxes=["1.2.840.10008.1.2.1"]
    )
    pacs.start()
    assert scu(pacs.port, "PACS").send(objects) == {**all_stored(objects), refused: 0xA700}
    pacs.drain(2)


def test_echo(orthanc: Orthanc) -> None:
    scu(orthanc.dicom_port, "ORTHANC").echo()


def test_says_that_nothing_listens(objects: list[EncodedObject]) -> None:
    port = free_port()
    with pytest.raises(DestinationUnreachableError) as caught:
        scu(port, "PACS").send(objects)
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message
    assert "PACS" in message
    assert "DOKUEI" in message
    assert "took no TCP connection" in message


def test_says_that_the_host_has_no_address() -> None:
    settings = DestinationSettings(name="pacs", ae_title="PACS", host="no-such-host.invalid", port=104)
    with pytest.raises(DestinationUnreachableError, match="has no address"):
        StoreScu(settings, ae_title="DOKUEI").echo()


def test_says_which_title_the_destination_does_not_know(orthanc: Orthanc) -> None:
    with pytest.raises(DestinationUnreachableError, match="Called AE title not recognised; check 'ae_title'"):
        scu(orthanc.dicom_port, "WRONG").echo()


def test_a_rejection_of_our_own_title_says_where_to_add_it(archive: ArchiveScp) -> None:
    settings = DestinationSettings(name="pacs", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port)
    with pytest.raises(DestinationUnreachableError, match="Calling AE title not recognised; add our AE title there"):
        StoreScu(settings, ae_title="NOBODY").echo()


def accept(connection: socket.socket) -> None:
    """Accept the first presentation context, and read no further."""
    from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
    from pynetdicom.pdu_primitives import MaximumLengthNotification

    request = A_ASSOCIATE_RQ()
    request.decode(read_pdu(connection)[1])
    primitive = request.to_primitive()
    contexts = primitive.presentation_context_definition_list
    for context in contexts:
        context.result = 0
    primitive.presentation_context_definition_list = []
    primitive.presentation_context_definition_results_list = contexts
    primitive.result = 0
    primitive.result_source = 1
    length = MaximumLengthNotification()
    length.maximum_length_received = 16_384
    primitive.user_information = [
        length,
        *[item for item in primitive.user_information if "ImplementationClass" in type(item).__name__],
    ]
    connection.sendall(A_ASSOCIATE_AC(primitive).encode())


def silent(connection: socket.socket) -> None:
    time.sleep(60)


def stops_reading(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    accept(connection)
    time.sleep(60)


def drips(connection: socket.socket) -> None:
    """Read a byte at a time, seldom enough never to end, often enough never to time out."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    accept(connection)
    while connection.recv(1):
        time.sleep(0.5)


def never_answers(connection: socket.socket) -> None:
    accept(connection)
    while connection.recv(65_536):
        pass


def answers_in_drips(connection: socket.socket) -> None:
    accept(connection)
    for byte in b"\x04\x00\x00\x00\x40\x00" + bytes(200):
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


def vanishes(connection: socket.socket) -> None:
    accept(connection)
    connection.recv(65_536)
    connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(script: Callable[[socket.socket], None]) -> ScriptedServer:
        servers.append(ScriptedServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("script", [stops_reading, drips, never_answers, answers_in_drips, vanishes])
def test_gives_up_on_a_destination_within_the_timeout(
    serve: Callable[..., ScriptedServer], big: EncodedObject, script: Callable[[socket.socket], None]
) -> None:
    destination = scu(serve(script).port, "PACS", timeout_seconds=2)
    started = time.monotonic()
    assert destination.send([big]) == {big.sop_instance_uid: None}
    assert time.monotonic() - started < 2 + 5


def test_gives_up_on_a_small_object_within_the_timeout(
    serve: Callable[..., ScriptedServer], objects: list[EncodedObject]
) -> None:
    destination = scu(serve(never_answers).port, "PACS", timeout_seconds=2)
    started = time.monotonic()
    statuses = destination.send(objects)
    assert set(statuses.values()) == {None}
    assert time.monotonic() - started < 2 + 5


def test_gives_up_on_a_port_that_says_nothing(serve: Callable[..., ScriptedServer]) -> None:
    destination = scu(serve(silent).port, "PACS", timeout_seconds=2)
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError, match="not with an association"):
        destination.echo()
    assert time.monotonic() - started < 2 + 5


def test_gives_up_on_a_port_that_speaks_something_else(serve: Callable[..., ScriptedServer]) -> None:
    destination = scu(
        serve(lambda connection: connection.sendall(b"220 smtp.example\r\n")).port, "PACS", timeout_seconds=2
    )
    with pytest.raises(DestinationUnreachableError):
        destination.echo()


def test_keeps_the_statuses_from_before_a_restart(orthanc: Orthanc, objects: list[EncodedObject]) -> None:
    destination = scu(orthanc.dicom_port, "ORTHANC", timeout_seconds=3)
    destination.send(objects[:1])
    orthanc.kill()
    with pytest.raises(DestinationUnreachableError):
        destination.send(objects)
    orthanc.start()
    assert destination.send(objects) == all_stored(objects)


def test_small_objects_do_not_wait_for_delayed_acknowledgements(storescp: StoreScpProgram, tmp_path: Path) -> None:
    """Nagle's algorithm would cost about 40 ms for each of them."""
    objects = [encoded(ct_slice(tmp_path / f"{number}.dcm", rows=16)) for number in range(50)]
    started = time.monotonic()
    assert scu(storescp.port, "STORESCP").send(objects) == all_stored(objects)
    assert time.monotonic() - started < 50 * 0.03
