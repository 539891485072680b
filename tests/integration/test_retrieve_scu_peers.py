# SPDX-License-Identifier: Apache-2.0
"""Looking for older studies and having them sent: DCMTK's archive, and archives that answer otherwise.

Orthanc's is in test_prior_fetch_orthanc.
"""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from harness.archive import QueryArchive
from harness.dcmtk import Called, StoreScpProgram, storescu
from harness.phantom import ct_slice
from harness.scripted import ScriptedServer, read_pdu
from service.dicom import parsing
from service.domain.errors import DeliveryError, DestinationUnreachableError, RetrieveRefusedError
from service.domain.fetch import PriorQuery
from service.settings import DestinationSettings
from service.transport import retrieve_scu
from service.transport.data_set import encode
from service.transport.dimse import RESPONSE, CommandField, Tag, encode_command
from service.transport.negotiation import accept, decode_request
from service.transport.pdu import RELEASE_RP, p_data_header
from service.transport.retrieve_scu import RetrieveScu
from service.transport.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_MOVE, accepted_contexts

pytestmark = pytest.mark.peers
IMPLICIT = "1.2.840.10008.1.2"
QUESTION = PriorQuery(
    study_instance_uid="1.9",
    patient_id="ZZMARKERID",
    issuer="",
    birth_date="19700102",
    first_date="20190101",
    last_date="20201231",
    modalities=frozenset({"CT"}),
)


def scu(port: int, ae_title: str = "QRSCP", *, timeout_seconds: float = 5) -> RetrieveScu:
    settings = DestinationSettings(
        name="pacs", ae_title=ae_title, host="localhost", port=port, timeout_seconds=timeout_seconds
    )
    return RetrieveScu(settings, ae_title="DOKUEI")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[StoreScpProgram]:
    """Where the archive sends to."""
    program = StoreScpProgram(tmp_path / "node", ae_title="DOKUEI")
    program.start()
    yield program
    program.stop()


@pytest.fixture
def archive(tmp_path: Path, node: StoreScpProgram) -> Iterator[QueryArchive]:
    program = QueryArchive(tmp_path / "archive", sends_to={"DOKUEI": node.port})
    program.start()
    yield program
    program.stop()


def test_an_archive_is_asked_and_sends_what_it_has(
    archive: QueryArchive, node: StoreScpProgram, tmp_path: Path
) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", study_uid="2.25.33") for number in (1, 2)]
    assert storescu(Called(port=archive.port, ae_title="QRSCP"), paths).returncode == 0
    asked = scu(archive.port)
    assert asked.offers() == (True, True)
    (study,) = asked.find(QUESTION)
    assert (study.study_instance_uid, study.patient_id, study.study_date) == ("2.25.33", "ZZMARKERID", "20200101")
    series = asked.series(study.study_instance_uid)
    assert {item.attributes["Modality"] for item in series} == {"CT"}
    moved = asked.move("2.25.33", [item.series_instance_uid for item in series], seconds=30)
    assert [(item.status, item.completed, item.failed) for item in moved] == [(0, 1, 0), (0, 1, 0)]
    assert {dcmread(path).SOPInstanceUID for path in node.files()} == {dcmread(path).SOPInstanceUID for path in paths}


def test_an_archive_that_cannot_send_to_us_says_so(
    archive: QueryArchive, node: StoreScpProgram, tmp_path: Path
) -> None:
    path = ct_slice(tmp_path / "1.dcm", study_uid="2.25.33")
    assert storescu(Called(port=archive.port, ae_title="QRSCP"), [path]).returncode == 0
    node.stop()
    (series,) = scu(archive.port).series("2.25.33")
    (moved,) = scu(archive.port).move("2.25.33", [series.series_instance_uid], seconds=30)
    assert moved.status != 0
    assert moved.completed == 0


def test_a_store_alone_is_no_archive(storescp: StoreScpProgram) -> None:
    asked = scu(storescp.port, "STORESCP")
    assert asked.offers() == (False, False)
    with pytest.raises(RetrieveRefusedError, match="does not offer Study Root C-FIND"):
        asked.find(QUESTION)
    with pytest.raises(RetrieveRefusedError, match="does not offer Study Root C-MOVE"):
        asked.move("1.2", ["1.3"], seconds=5)


def test_nobody_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DestinationUnreachableError, match="took no TCP connection"):
        scu(port).find(QUESTION)


Script = Callable[[socket.socket, int], None]
"""What an archive does once it has been asked, on a context."""


def odd_archive(answers: Script) -> ScriptedServer:
    def script(connection: socket.socket) -> None:
        _, asked = read_pdu(connection)
        supported = accepted_contexts([STUDY_ROOT_FIND, STUDY_ROOT_MOVE], [IMPLICIT])
        answer, contexts = accept(decode_request(asked[6:]), supported, max_pdu_bytes=16_384)
        connection.sendall(answer)
        read_pdu(connection)
        read_pdu(connection)
        answers(connection, next(iter(contexts)))
        if read_pdu(connection)[0] == 5:
            connection.sendall(RELEASE_RP)

    return ScriptedServer(script)


def said(context: int, status: int, data: bytes = b"", *, field: int = CommandField.C_FIND, **counts: int) -> bytes:
    command = encode_command(
        {
            Tag.COMMAND_FIELD: field | RESPONSE,
            Tag.COMMAND_DATA_SET_TYPE: 1 if data else 0x0101,
            Tag.STATUS: status,
            **{Tag[name.upper()]: value for name, value in counts.items()},
        }
    )
    pdus = p_data_header(len(command), context, command=True, last=True) + command
    return pdus + (p_data_header(len(data), context, command=False, last=True) + data if data else b"")


def match(**values: object) -> bytes:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return encode(dataset, IMPLICIT)


def broken(connection: socket.socket, _context: int) -> None:
    connection.close()


def silent(_connection: socket.socket, _context: int) -> None:
    time.sleep(5)


def failing(status: int) -> Script:
    return lambda connection, context: connection.sendall(said(context, status))


def telling(data: bytes) -> Script:
    return lambda connection, context: connection.sendall(said(context, 0xFF00, data) + said(context, 0))


def without_end(connection: socket.socket, context: int) -> None:
    while True:
        connection.sendall(said(context, 0xFF00, match(StudyInstanceUID="1.2")))


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (broken, DestinationUnreachableError),
        (silent, DestinationUnreachableError),
        (failing(0xA700), RetrieveRefusedError),
        (failing(0xC001), RetrieveRefusedError),
        (telling(b"\x08\x00\x20\x00\xff\xff\xff\x7f"), DeliveryError),
        (telling(b"\x10\x00\x20\x00\x04\x00\x00\x00\xff\xfe\xff\xff" + b"junk"), DeliveryError),
        (without_end, RetrieveRefusedError),
        (lambda connection, _context: connection.sendall(b"GET / HTTP/1.1\r\n\r\n"), DestinationUnreachableError),
    ],
    ids=["broken", "silent", "refused", "failed", "length", "junk", "without end", "other protocol"],
)
def test_whatever_an_archive_answers_is_an_answer_or_an_error_of_ours(
    answers: Script, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve_scu, "FIND_SECONDS", 1.0)
    server = odd_archive(answers)
    started = time.monotonic()
    try:
        found = scu(server.port, timeout_seconds=1).find(QUESTION)
    except error:
        found = ()
    else:
        assert error is DeliveryError, "pydicom may make something of it, but none of our patient"
    server.stop()
    assert all(study.patient_id != QUESTION.patient_id for study in found)
    assert time.monotonic() - started < 10


def test_what_is_no_uid_is_not_taken_for_one() -> None:
    assert parsing.pydicom_config.settings.reading_validation_mode == parsing.pydicom_config.IGNORE, "as in a node"
    path = match(PatientID="P", ModalitiesInStudy=["CT", "SR"]) + b"\x20\x00\x0d\x00\x08\x00\x00\x00" + b"1.2/../3"
    server = odd_archive(telling(path))
    (study,) = scu(server.port).find(QUESTION)
    server.stop()
    assert (study.study_instance_uid, study.patient_id, study.modalities) == ("", "P", ("CT", "SR"))


def test_a_question_in_another_script_says_which_one() -> None:
    asked: list[bytes] = []

    def script(connection: socket.socket) -> None:
        _, wanted = read_pdu(connection)
        supported = accepted_contexts([STUDY_ROOT_FIND], [IMPLICIT])
        answer, contexts = accept(decode_request(wanted[6:]), supported, max_pdu_bytes=16_384)
        connection.sendall(answer)
        read_pdu(connection)
        asked.append(read_pdu(connection)[1])
        connection.sendall(said(next(iter(contexts)), 0))
        read_pdu(connection)
        connection.sendall(RELEASE_RP)

    server = ScriptedServer(script)
    question = PriorQuery(**{**{name: getattr(QUESTION, name) for name in QUESTION.__slots__}, "patient_id": "患者"})
    assert scu(server.port).find(question) == ()
    server.stop()
    assert b"ISO_IR 192" in asked[0]
    assert "患者".encode() in asked[0]


def slow_to_send(connection: socket.socket, context: int) -> None:
    for _ in range(100):
        connection.sendall(said(context, 0xFF00, field=CommandField.C_MOVE))
        time.sleep(0.1)


@pytest.mark.parametrize("answers", [silent, slow_to_send], ids=["silent", "without end"])
def test_an_archive_that_never_ends_sending_is_left(answers: Script) -> None:
    server = odd_archive(answers)
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError, match="C-MOVE"):
        scu(server.port).move("1.2", ["1.3"], seconds=1)
    server.stop()
    assert time.monotonic() - started < 4


def test_what_an_archive_says_of_its_sending_is_told() -> None:
    answer = {"completed_sub_operations": 3, "failed_sub_operations": 1, "warning_sub_operations": 2}
    server = odd_archive(
        lambda connection, context: connection.sendall(
            said(context, 0xFF00, field=CommandField.C_MOVE)
            + said(context, 0xB000, field=CommandField.C_MOVE, **answer)
        )
    )
    (moved,) = scu(server.port).move("1.2", ["1.3"], seconds=5)
    server.stop()
    assert (moved.status, moved.completed, moved.failed, moved.is_partial) == (0xB000, 5, 1, True)
