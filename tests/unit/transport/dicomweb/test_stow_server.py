# SPDX-License-Identifier: Apache-2.0
"""The STOW-RS server with the real receiver behind it: what well-behaved clients see."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.phantom import ct_slice
from harness.stow import BOUNDARY, TOKEN, StowNode, multipart, open_socket, post, read_all, request_head
from service.domain.event import AssociationAccepted, AssociationRejected, InstanceReceived, StageFailed
from service.ports import IncomingInstance, StoreOutcome

StartNode = Callable[..., StowNode]
CT = "1.2.840.10008.5.1.4.1.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"


def uid_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def data_set_of(path: Path) -> bytes:
    """The bytes after the file meta information."""
    content = path.read_bytes()
    length = int(dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength)
    return content[132 + 12 + length :]


@pytest.mark.parametrize("chunked", [False, True])
def test_parts_are_stored_bit_for_bit_and_named_in_the_answer(node: StowNode, tmp_path: Path, chunked: bool) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", rows=300) for number in range(3)]
    body = multipart(path.read_bytes() for path in paths)
    pieces = [body[start : start + 7_001] for start in range(0, len(body), 7_001)] if chunked else body
    answer = post(node.server.port, pieces, chunked=chunked)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert answer.stored == [uid_of(path) for path in paths]
    assert (answer.failed, answer.others) == ({}, [])
    stored = node.stored()
    assert {uid_of(path): data_set_of(path) for path in paths} == {
        uid: data_set_of(file) for uid, file in stored.items()
    }
    assert node.leftovers() == []


def test_a_preamble_is_not_kept(node: StowNode, tmp_path: Path) -> None:
    content = ct_slice(tmp_path / "a.dcm").read_bytes()
    assert post(node.server.port, multipart([b"MZ" + b"\xff" * 126 + content[128:]])).status == 200
    (kept,) = node.stored().values()
    assert kept.read_bytes()[:128] == bytes(128)


def test_the_same_instance_twice_is_stored_once(node: StowNode, tmp_path: Path) -> None:
    path = ct_slice(tmp_path / "a.dcm")
    answers = [post(node.server.port, multipart([path.read_bytes()])) for _ in range(2)]
    assert [(answer.status, answer.stored) for answer in answers] == [(200, [uid_of(path)])] * 2
    assert [event.outcome for event in node.observer.of(InstanceReceived)] == ["stored", "duplicate"]
    assert len(node.stored()) == 1


def test_a_bad_part_does_not_fail_the_others(node: StowNode, tmp_path: Path) -> None:
    good = ct_slice(tmp_path / "good.dcm")
    foreign = ct_slice(tmp_path / "foreign.dcm", transfer_syntax=DEFLATED)
    report = dcmread(ct_slice(tmp_path / "report.dcm"))
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    report.save_as(tmp_path / "report.dcm")
    lying = dcmread(ct_slice(tmp_path / "lying.dcm"))
    lying.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    lying.save_as(tmp_path / "lying.dcm", enforce_file_format=False)
    names = ("foreign", "report", "good", "lying")
    parts = [b"no DICOM", *((tmp_path / f"{name}.dcm").read_bytes() for name in names)]
    answer = post(node.server.port, multipart(parts))
    assert answer.status == 202
    assert answer.stored == [uid_of(good)]
    assert answer.failed == {uid_of(foreign): 0xC122, uid_of(tmp_path / "report.dcm"): 0x0122, "1.2.3.4": 0xA900}
    assert answer.others == [0xC000]
    outcomes = [event.outcome for event in node.observer.of(InstanceReceived)]
    assert outcomes == ["cannot_understand", "transfer_syntax", "sop_class", "stored", "mismatch"]
    assert list(node.stored()) == [uid_of(good)]
    assert node.leftovers() == []


def test_nothing_stored_is_a_conflict(node: StowNode, tmp_path: Path) -> None:
    path = ct_slice(tmp_path / "a.dcm", transfer_syntax=DEFLATED)
    answer = post(node.server.port, multipart([path.read_bytes()]))
    assert (answer.status, answer.failed) == (409, {uid_of(path): 0xC122})


def test_an_instance_of_another_study_than_the_url_is_refused(node: StowNode, tmp_path: Path) -> None:
    ours = ct_slice(tmp_path / "ours.dcm", study_uid="1.2.3")
    other = ct_slice(tmp_path / "other.dcm", study_uid="1.2.30")
    body = multipart([ours.read_bytes(), other.read_bytes()])
    answer = post(node.server.port, body, path="/dicom-web/studies/1.2.3")
    assert (answer.status, answer.stored, answer.failed) == (202, [uid_of(ours)], {uid_of(other): 0xA900})


def test_a_full_disk_is_answered_as_temporary(start: StartNode, tmp_path: Path) -> None:
    node = start(reserve_bytes=1 << 60)
    path = ct_slice(tmp_path / "a.dcm")
    answer = post(node.server.port, multipart([path.read_bytes()]))
    assert (answer.status, answer.failed) == (503, {uid_of(path): 0xA700})
    assert int(answer.headers["Retry-After"]) > 0


def test_an_unforeseen_error_is_answered_and_reported_without_its_text(start: StartNode, tmp_path: Path) -> None:
    def receiver(incoming: IncomingInstance) -> StoreOutcome:
        raise KeyError("a patient's name")

    node = start(receiver=receiver)
    path = ct_slice(tmp_path / "a.dcm")
    answer = post(node.server.port, multipart([path.read_bytes()]))
    assert (answer.status, answer.failed) == (409, {uid_of(path): 0x0110})
    (event,) = node.observer.of(StageFailed)
    assert (event.error, event.retryable, event.detail) == ("KeyError", False, "")


def test_the_receiver_is_told_who_sends_and_which_study(start: StartNode, tmp_path: Path) -> None:
    seen: list[IncomingInstance] = []

    def receiver(incoming: IncomingInstance) -> StoreOutcome:
        seen.append(incoming)
        return StoreOutcome.STORED

    node = start(receiver=receiver, peer={"ae_title": "GATEWAY"})
    post(node.server.port, multipart([ct_slice(tmp_path / "a.dcm").read_bytes()]), path="/dicom-web/studies/1.2.3")
    (incoming,) = seen
    assert (incoming.peer, incoming.calling_ae, incoming.study_instance_uid) == ("gateway", "GATEWAY", "1.2.3")
    assert (incoming.sop_class_uid, incoming.transfer_syntax_uid) == (CT, "1.2.840.10008.1.2.1")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}"]
)
def test_who_shows_no_token_is_not_let_in(node: StowNode, authorization: str | None) -> None:
    answer = post(node.server.port, multipart([b"x"]), Authorization=authorization)
    assert answer.status == 401
    assert answer.headers["Www-Authenticate"].startswith("Bearer")
    assert node.observer.events == [AssociationRejected(peer="other", reason="credentials", address="127.0.0.1")]


@pytest.mark.parametrize("content", ["", "\n", "short\n", "two words of a token", "ünicode-token-that-is-long"])
def test_a_file_without_a_token_lets_nobody_in(node: StowNode, content: str) -> None:
    node.token_file.write_text(content)
    assert post(node.server.port, multipart([b"x"]), Authorization=f"Bearer {content.strip()}".encode()).status == 401
    assert post(node.server.port, multipart([b"x"]), Authorization="Bearer ").status == 401


def test_a_token_can_be_changed_while_the_node_runs(node: StowNode, tmp_path: Path) -> None:
    body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    node.token_file.write_text("another-token-of-this-peer")
    assert post(node.server.port, body).status == 401
    assert post(node.server.port, body, Authorization="Bearer another-token-of-this-peer").status == 200


def test_another_address_is_not_let_in_with_the_right_token(start: StartNode) -> None:
    node = start(peer={"address": "10.0.0.0/8"})
    assert post(node.server.port, multipart([b"x"])).status == 403
    assert node.observer.events == [AssociationRejected(peer="other", reason="address", address="127.0.0.1")]


def test_a_peer_that_may_not_store_is_not_let_in(start: StartNode) -> None:
    assert post(start(peer={"may": ["query"]}).server.port, multipart([b"x"])).status == 403


def test_a_peer_without_a_token_sends_nothing_over_dicomweb(start: StartNode) -> None:
    node = start(peer={"token_file": None, "ae_title": "MODALITY"})
    assert post(node.server.port, multipart([b"x"])).status == 403
    assert post(node.server.port, multipart([b"x"]), Authorization="Bearer ").status == 403


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        (None, 200, "application/dicom+json"),
        ("*/*", 200, "application/dicom+json"),
        ("application/dicom+xml, application/dicom+json;q=0.5", 200, "application/dicom+json"),
        ("application/json", 200, "application/json"),
        ("application/dicom+xml", 406, "text/plain; charset=utf-8"),
        ("application/dicom+json;q=0", 406, "text/plain; charset=utf-8"),
    ],
)
def test_the_answer_is_json(node: StowNode, tmp_path: Path, accept: str | None, status: int, content_type: str) -> None:
    answer = post(node.server.port, multipart([ct_slice(tmp_path / "a.dcm").read_bytes()]), Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)


def test_options_says_what_the_port_is_for(node: StowNode) -> None:
    answer = post(node.server.port, b"", method="OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (200, "OPTIONS, POST")
    assert node.observer.events == [AssociationAccepted(peer="gateway")]
    assert post(node.server.port, b"", method="OPTIONS", Authorization=None).status == 401


def test_requests_follow_each_other_on_one_connection(node: StowNode, tmp_path: Path) -> None:
    body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    with open_socket(node.server.port) as connection:
        for _ in range(2):
            connection.sendall(request_head(len(body)) + body)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(request_head(len(body), "Connection: close") + body)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_first_is_told_to_go_on(node: StowNode, tmp_path: Path) -> None:
    body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    with open_socket(node.server.port) as connection:
        connection.sendall(request_head(len(body), "Expect: 100-continue"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    with open_socket(node.server.port) as connection:
        head = request_head(len(body), "Expect: 100-continue").replace(TOKEN.encode(), b"wrong")
        connection.sendall(head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401")


class Slow:
    """A receiver that waits until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, incoming: IncomingInstance) -> StoreOutcome:
        self.entered.set()
        self.go.wait(30)
        for _ in incoming.dataset:
            pass
        return StoreOutcome.STORED


def test_draining_finishes_what_runs_and_takes_nothing_new(start: StartNode, tmp_path: Path) -> None:
    slow = Slow()
    node = start(receiver=slow)
    port, body = node.server.port, multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    answers: list[int] = []
    drained: list[bool] = []
    idle = open_socket(port)
    sender = threading.Thread(target=lambda: answers.append(post(port, body).status))
    sender.start()
    assert slow.entered.wait(10)
    drain = threading.Thread(target=lambda: drained.append(node.server.drain(20)))
    drain.start()
    with idle:
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        open_socket(port)
    assert drain.is_alive()
    slow.go.set()
    sender.join(10)
    drain.join(10)
    assert (answers, drained) == ([200], [True])


def test_draining_ends_when_its_time_is_over(start: StartNode, tmp_path: Path) -> None:
    slow = Slow()
    node = start(receiver=slow)
    body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    with open_socket(node.server.port) as connection:
        connection.sendall(request_head(len(body)) + body)
        assert slow.entered.wait(10)
        started = time.monotonic()
        assert not node.server.drain(0.3)
        assert time.monotonic() - started < 3
        assert read_all(connection) == b""
    slow.go.set()


def test_the_boundary_may_be_anything_that_the_standard_allows(node: StowNode, tmp_path: Path) -> None:
    for boundary in ("0", "a b'()+_,-./:=?c", "x" * 70, f"{BOUNDARY}--"):
        body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()], boundary=boundary)
        content_type = f'multipart/related; boundary="{boundary}"; type=application/dicom'
        assert post(node.server.port, body, Content_Type=content_type).status == 200, boundary
