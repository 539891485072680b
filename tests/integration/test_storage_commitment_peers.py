# SPDX-License-Identifier: Apache-2.0
"""Storage commitment on the wire, with Orthanc in both roles and with archives that answer otherwise."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE

from harness.orthanc import Orthanc
from harness.phantom import ct_slice
from harness.processes import free_port, wait_until
from harness.scripted import ScriptedServer, read_pdu
from service.domain.errors import (
    CommitmentUnsupportedError,
    DeliveryError,
    DestinationUnreachableError,
    EchoUnsupportedError,
    QueryUnsupportedError,
    StorageError,
)
from service.domain.event import Event
from service.ports import (
    CommitmentFailure,
    CommitmentReport,
    CommitmentRequest,
    IncomingInstance,
    ObjectReference,
    StoreOutcome,
)
from service.settings import DestinationSettings, NodeSettings, PeerSettings
from service.transport.commitment import PUSH_MODEL_INSTANCE, encode_report
from service.transport.dimse import Command, CommandField, Tag, decode_command, encode_command, request, response
from service.transport.negotiation import accept, decode_request
from service.transport.pdu import RELEASE_RP, p_data_header
from service.transport.sop_classes import STORAGE_COMMITMENT, accepted_contexts
from service.transport.store_scp import StoreScp
from service.transport.store_scu import StoreScu

pytestmark = pytest.mark.peers
CT = "1.2.840.10008.5.1.4.1.1.2"
TRANSACTION = "2.25.7"
IMPLICIT = "1.2.840.10008.1.2"


class Desk:
    """A node's storage SCP that takes commitment messages in both roles."""

    def __init__(self, peer_title: str, *, port: int) -> None:
        self.reports: list[tuple[str, CommitmentReport]] = []
        self.requests: list[CommitmentRequest] = []
        self.failure: Exception | None = None
        settings = NodeSettings.model_construct(
            ae_title="DOKUEI", host="127.0.0.1", port=port, max_associations=8, max_pdu_bytes=131_072, idle_seconds=30.0
        )
        self.scp = StoreScp(
            settings,
            peers=[
                PeerSettings.model_validate({"name": "pacs", "ae_title": peer_title, "address": "127.0.0.1"}),
                PeerSettings.model_validate({"name": "self", "ae_title": "DOKUEI", "address": "127.0.0.1"}),
            ],
            receiver=_store,
            observer=_ignore,
            transfer_syntaxes=[IMPLICIT],
            commitments=self._reported,
            commitment_requests=self._requested,
        )
        self.scp.start()

    def _reported(self, peer: str, report: CommitmentReport) -> bool:
        if self.failure:
            raise self.failure
        self.reports.append((peer, report))
        return True

    def _requested(self, request: CommitmentRequest) -> None:
        if self.failure:
            raise self.failure
        self.requests.append(request)


def _store(incoming: IncomingInstance) -> StoreOutcome:
    for _chunk in incoming.dataset:
        continue
    return StoreOutcome.STORED


def _ignore(event: Event) -> None:
    del event


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk("ORTHANC", port=free_port())
    yield desk
    desk.scp.drain(2)


@pytest.fixture
def archive(start_orthanc: Callable[..., Orthanc], desk: Desk) -> Orthanc:
    return start_orthanc(modalities={"dokuei": ("DOKUEI", desk.scp.port)})


def peer(port: int, ae_title: str = "ORTHANC") -> StoreScu:
    settings = DestinationSettings(name="pacs", ae_title=ae_title, host="127.0.0.1", port=port, timeout_seconds=5)
    return StoreScu(settings, ae_title="DOKUEI")


def reference(path: Path) -> ObjectReference:
    dataset = dcmread(path, stop_before_pixels=True)
    return ObjectReference(sop_class_uid=str(dataset.SOPClassUID), sop_instance_uid=str(dataset.SOPInstanceUID))


def test_orthanc_commits_what_it_has_and_denies_what_it_has_not(archive: Orthanc, desk: Desk, tmp_path: Path) -> None:
    stored = ct_slice(tmp_path / "ct.dcm")
    archive.upload(stored)
    missing = ObjectReference(sop_class_uid=CT, sop_instance_uid="2.25.404")

    early = peer(archive.dicom_port).request_commitment(TRANSACTION, [reference(stored), missing])

    if early is None:
        wait_until(lambda: bool(desk.reports), seconds=20, what="no N-EVENT-REPORT")
        [(name, early)] = desk.reports
        assert name == "pacs"
    assert early.transaction_uid == TRANSACTION
    assert early.committed == (reference(stored),)
    assert early.failed == (CommitmentFailure(reference=missing, reason=0x0112),)


def test_orthanc_says_by_query_what_it_has(archive: Orthanc, tmp_path: Path) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", study_uid="2.25.33") for number in range(3)]
    for path in paths[:2]:
        archive.upload(path)

    found = peer(archive.dicom_port).find_stored("2.25.33", [reference(path) for path in paths])

    assert found == {reference(path).sop_instance_uid for path in paths[:2]}


def test_takes_orthancs_request_and_reports_to_it(archive: Orthanc, desk: Desk) -> None:
    wanted = [{"SOPClassUID": CT, "SOPInstanceUID": "2.25.1"}, {"SOPClassUID": CT, "SOPInstanceUID": "2.25.2"}]
    answer = archive.post("/modalities/dokuei/storage-commitment", {"DicomInstances": wanted, "Timeout": 10})
    [request] = desk.requests
    assert (request.peer, request.calling_ae) == ("pacs", "ORTHANC")
    assert [item.sop_instance_uid for item in request.references] == ["2.25.1", "2.25.2"]
    kept, lost = request.references

    peer(archive.dicom_port).report_commitment(
        CommitmentReport(
            transaction_uid=request.transaction_uid,
            committed=(kept,),
            failed=(CommitmentFailure(reference=lost, reason=0x0112),),
        )
    )

    state = archive.get(answer["Path"])
    assert state["Status"] == "Failure"
    assert [item["SOPInstanceUID"] for item in state["Success"]] == ["2.25.1"]
    assert [item["SOPInstanceUID"] for item in state["Failures"]] == ["2.25.2"]


def test_tells_a_modality_that_its_request_could_not_be_kept(desk: Desk) -> None:
    desk.failure = StorageError("the disk is full")
    with pytest.raises(DestinationUnreachableError, match="0x0213"):
        peer(desk.scp.port, "DOKUEI").request_commitment(
            TRANSACTION, [ObjectReference(sop_class_uid=CT, sop_instance_uid="1.2")]
        )


def test_tells_a_modality_that_may_not_ask(desk: Desk) -> None:
    desk.failure = CommitmentUnsupportedError("no commitment_port")
    with pytest.raises(CommitmentUnsupportedError, match="0x0124"):
        peer(desk.scp.port, "DOKUEI").request_commitment(
            TRANSACTION, [ObjectReference(sop_class_uid=CT, sop_instance_uid="2.25.1")]
        )


def test_a_destination_without_c_echo_is_told_from_one_that_is_not_there() -> None:
    entity = AE("ORTHANC")
    entity.add_supported_context(CT)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    port = server.server_address[1]
    with pytest.raises(EchoUnsupportedError, match="Verification"):
        peer(port).echo()
    server.shutdown()
    server.server_close()
    with pytest.raises(DestinationUnreachableError) as caught:
        peer(port).echo()
    assert not isinstance(caught.value, EchoUnsupportedError)


def test_tells_an_archive_that_its_report_could_not_be_kept(desk: Desk) -> None:
    desk.failure = StorageError("the disk is full")
    with pytest.raises(DeliveryError, match="0x0213"):
        peer(desk.scp.port, "DOKUEI").report_commitment(CommitmentReport(transaction_uid=TRANSACTION))


def test_a_destination_without_commitment_or_query_is_named(storescp: Any) -> None:
    destination = peer(storescp.port, "STORESCP")
    wanted = [ObjectReference(sop_class_uid=CT, sop_instance_uid="1.2")]
    with pytest.raises(CommitmentUnsupportedError, match="offers no storage commitment"):
        destination.request_commitment(TRANSACTION, wanted)
    with pytest.raises(QueryUnsupportedError, match="does not answer queries"):
        destination.find_stored("1.2.3", wanted)


def archive_that_reports(*, first: bool) -> Callable[[socket.socket], None]:
    """An archive that sends its N-EVENT-REPORT on the association of the request, before or after its answer."""
    command = request(
        CommandField.N_EVENT_REPORT,
        data_set=True,
        affected_sop_class_uid=STORAGE_COMMITMENT,
        affected_sop_instance_uid=PUSH_MODEL_INSTANCE,
        event_type_id=1,
    )
    report = CommitmentReport(
        transaction_uid=TRANSACTION, committed=(ObjectReference(sop_class_uid=CT, sop_instance_uid="1.2"),)
    )

    def script(connection: socket.socket) -> None:
        _, asked = read_pdu(connection)
        answer, contexts = accept(
            decode_request(asked[6:]), accepted_contexts([], [], commitment=True), max_pdu_bytes=16_384
        )
        connection.sendall(answer)
        number, context = next(iter(contexts.items()))
        read_pdu(connection)
        read_pdu(connection)
        replied = Command({Tag.COMMAND_FIELD: CommandField.N_ACTION, Tag.MESSAGE_ID: 1})
        data = encode_report(report, transfer_syntax=context.transfer_syntax)
        parts = [_message(number, response(replied, 0)), _message(number, encode_command(command), data)]
        connection.sendall(b"".join(reversed(parts) if first else parts))
        kind, answered = read_pdu(connection)
        assert (kind, decode_command(answered[12:]).number(Tag.STATUS)) == (4, 0)
        read_pdu(connection)
        connection.sendall(RELEASE_RP)

    return script


def _message(number: int, command: bytes, data: bytes = b"") -> bytes:
    pdus = p_data_header(len(command), number, command=True, last=True) + command
    return pdus + (p_data_header(len(data), number, command=False, last=True) + data if data else b"")


@pytest.mark.parametrize("first", [True, False], ids=["before its answer", "after its answer"])
def test_takes_a_report_on_the_association_of_the_request(first: bool) -> None:
    server = ScriptedServer(archive_that_reports(first=first))
    wanted = [ObjectReference(sop_class_uid=CT, sop_instance_uid="1.2")]

    report = peer(server.port).request_commitment(TRANSACTION, wanted)

    server.stop()
    assert report == CommitmentReport(transaction_uid=TRANSACTION, committed=tuple(wanted))
