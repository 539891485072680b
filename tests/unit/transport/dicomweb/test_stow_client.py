# SPDX-License-Identifier: Apache-2.0
"""The STOW-RS client against our own server, and against services that answer as a test says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydicom import dcmread

from fakes import Recorder
from harness.authority import Authority, Pair
from harness.phantom import ct_slice
from harness.stow import TOKEN, StowNode, open_socket
from service.domain.errors import DestinationUnreachableError
from service.domain.event import TlsHandshake
from service.ports import EncodedObject, ResultKind
from service.settings import DestinationSettings, TlsServerSettings
from service.transport.dicomweb.client import StowClient
from service.transport.dicomweb.store_response import (
    InstanceStatus,
    StoreResponseError,
    read_store_response,
    write_store_response,
)

CT = "1.2.840.10008.5.1.4.1.1.2"


class Service(HTTPServer):
    """Reads a request and answers as the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ServiceRequest)
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.reads = True
        self.pause_seconds = 0.0
        self.drips = False
        self.seen: list[tuple[str, str, dict[str, str], int]] = []
        self.statuses: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/pacs/dicom-web/"


class ServiceRequest(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        server = self.server
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if server.reads else b""
        server.seen.append((self.command, self.path, dict(self.headers), len(body)))
        time.sleep(server.pause_seconds)
        self.send_response(server.statuses.get(self.command, server.status))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        for byte in server.body if server.drips else b"":
            self.wfile.write(bytes([byte]))
            time.sleep(0.1)
        self.wfile.write(b"" if server.drips else server.body)

    do_GET = do_OPTIONS = do_POST  # noqa: N815 - http.server's names

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    service.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that broke off is expected
    thread = threading.Thread(target=service.serve_forever, args=(0.05,))
    thread.start()
    yield service
    service.shutdown()
    thread.join()
    service.server_close()


@pytest.fixture
def objects(tmp_path: Path) -> list[EncodedObject]:
    return [encoded(ct_slice(tmp_path / f"{number}.dcm", rows=100)) for number in range(3)]


def encoded(path: Path) -> EncodedObject:
    uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    return EncodedObject(kind=ResultKind.SR, sop_class_uid=CT, sop_instance_uid=uid, path=path)


def client(url: str, *, token_file: Path | None = None, timeout_seconds: float = 5) -> StowClient:
    settings = DestinationSettings(name="pacs", url=url, token_file=token_file, timeout_seconds=timeout_seconds)
    return StowClient(settings, observer=Recorder())


def uids(objects: list[EncodedObject]) -> list[str]:
    return [item.sop_instance_uid for item in objects]


def test_our_own_server_takes_what_our_client_sends(node: StowNode, objects: list[EncodedObject]) -> None:
    sender = client(node.url, token_file=node.token_file)
    sender.echo()
    assert sender.send(objects) == dict.fromkeys(uids(objects), 0)
    assert sorted(node.stored()) == sorted(uids(objects))
    for item in objects:
        assert dcmread(node.stored()[item.sop_instance_uid]) == dcmread(item.path)
    assert sender.send([]) == {}


def test_each_object_has_its_own_status(service: Service, objects: list[EncodedObject]) -> None:
    first, second, third = uids(objects)
    answered = [InstanceStatus(CT, first, 0xB007), InstanceStatus(CT, second, 0xA700), InstanceStatus(CT, "9.9", 0)]
    service.status, service.body = 202, write_store_response(answered)
    assert client(service.url).send(objects) == {first: 0xB007, second: 0xA700, third: None}
    ((method, path, headers, size),) = service.seen
    assert (method, path) == ("POST", "/pacs/dicom-web/studies")
    assert headers["Accept"] == "application/dicom+json"
    assert size == int(headers["Content-Length"]) > sum(item.path.stat().st_size for item in objects)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(503, 0xA700), (507, 0xA700), (429, 0xA700), (400, 0xC000), (413, 0xC000), (415, 0xC000), (406, 0xC000)],
)
def test_a_refusal_of_the_whole_request_is_one_of_each_object(
    service: Service, objects: list[EncodedObject], status: int, expected: int
) -> None:
    service.status = status
    assert client(service.url).send(objects) == dict.fromkeys(uids(objects), expected)


def test_a_service_that_refuses_the_whole_without_a_word_gets_each_object_alone(
    service: Service, objects: list[EncodedObject]
) -> None:
    """One kind that it does not know must not keep the others out."""
    service.status = 415
    client(service.url).send(objects)
    assert [path for _, path, _, _ in service.seen] == ["/pacs/dicom-web/studies"] * 4
    service.seen.clear()
    client(service.url).send(objects[:1])
    assert len(service.seen) == 1


def test_of_a_slot_the_first_form_goes_and_the_others_wait(service: Service, objects: list[EncodedObject]) -> None:
    forms = [replace(item, slot="report", rank=rank) for rank, item in enumerate(objects)]
    (first, *_), answered = uids(objects), [InstanceStatus(CT, uids(objects)[0], 0x0122)]
    service.status, service.body = 409, write_store_response(answered)
    assert client(service.url).send(forms[::-1]) == {first: 0x0122}


def test_what_a_bad_request_stored_all_the_same_is_stored(service: Service, objects: list[EncodedObject]) -> None:
    first, *others = uids(objects)
    service.status, service.body = 400, write_store_response([InstanceStatus(CT, first, 0)])
    assert client(service.url).send(objects) == {first: 0, **dict.fromkeys(others, 0xC000)}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (301, "redirects are not followed"),
        (401, "token_file"),
        (403, "let this node store"),
        (404, "check the path"),
        (500, "HTTP 500"),
        (204, "HTTP 204"),
    ],
)
def test_any_other_answer_is_no_delivery(
    service: Service, objects: list[EncodedObject], status: int, told: str
) -> None:
    service.status, service.headers = status, {"Location": "http://127.0.0.1:1/elsewhere"}
    with pytest.raises(DestinationUnreachableError, match=told):
        client(service.url).send(objects)


@pytest.mark.parametrize(
    "body", [b"", b"<html>Log in</html>", b"{}", b"[]", b"null", b"{", b'{"00081199": 3}', b"\xff"]
)
@pytest.mark.parametrize("status", [200, 202, 409])
def test_success_without_a_response_module_is_no_success(
    service: Service, objects: list[EncodedObject], body: bytes, status: int
) -> None:
    service.status, service.body = status, body
    with pytest.raises(DestinationUnreachableError, match="Store Instances Response"):
        client(service.url).send(objects)


def test_an_answer_before_the_end_of_the_body_counts(service: Service, tmp_path: Path) -> None:
    service.reads, service.status = False, 401
    big = encoded(ct_slice(tmp_path / "big.dcm", rows=3000))
    with pytest.raises(DestinationUnreachableError, match=r"HTTP 401|did not answer"):
        client(service.url).send([big])


def test_a_token_goes_into_the_header_and_never_into_an_error(service: Service, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    service.status = 403
    with pytest.raises(DestinationUnreachableError) as caught:
        client(service.url, token_file=token_file).echo()
    assert service.seen[0][2]["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(caught.value)
    token_file.unlink()
    with pytest.raises(DestinationUnreachableError, match="needs its token_file"):
        client(service.url, token_file=token_file).echo()


def test_echo_searches_for_nobody_and_asks_otherwise_where_search_is_not_offered(service: Service) -> None:
    client(service.url).echo()
    service.statuses["GET"] = 404
    client(service.url).echo()
    assert [(method, path.partition("?")[0]) for method, path, *_ in service.seen] == [
        ("GET", "/pacs/dicom-web/studies"),
        ("GET", "/pacs/dicom-web/studies"),
        ("OPTIONS", "/pacs/dicom-web/studies"),
    ]
    assert service.seen[0][1].endswith("StudyInstanceUID=2.25.0&limit=1")
    service.status = 404
    with pytest.raises(DestinationUnreachableError, match="check the path"):
        client(service.url).echo()


def test_nobody_there_is_told_with_a_remedy(objects: list[EncodedObject]) -> None:
    for url in ("http://127.0.0.1:9/dicom-web", "http://no-such-host.invalid/dicom-web"):
        with pytest.raises(DestinationUnreachableError, match="check 'url'"):
            client(url).send(objects)


@pytest.mark.parametrize("fault", ["silent", "dripping", "blocked"])
def test_a_service_that_does_not_go_on_is_left(
    service: Service, objects: list[EncodedObject], tmp_path: Path, fault: str
) -> None:
    service.pause_seconds = 6 if fault == "silent" else 0
    service.body, service.drips = b"x" * 100, fault == "dripping"
    if fault == "blocked":
        service.reads, service.pause_seconds = False, 6
        objects = [encoded(ct_slice(tmp_path / "big.dcm", rows=3000))]
    started = time.monotonic()
    with pytest.raises(DestinationUnreachableError, match="did not answer"):
        client(service.url, timeout_seconds=0.6).send(objects)
    assert time.monotonic() - started < 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.issue("node")


def listening(pair: Pair, authority: Authority, *, client_certificate: bool = False) -> TlsServerSettings:
    return TlsServerSettings(
        port=1,
        certificate=pair.certificate,
        key=pair.key,
        trusted=authority.certificate,
        require_client_certificate=client_certificate,
    )


def secure_client(node: StowNode, *, token_file: Path | None = None, **tls: Path) -> StowClient:
    url = node.url.replace("http:", "https:")
    settings = {"name": "pacs", "url": url, "token_file": token_file, "timeout_seconds": 5, "tls": tls or None}
    return StowClient(DestinationSettings.model_validate(settings), observer=Recorder())


def test_our_client_and_server_speak_tls(
    start: Callable[..., StowNode], objects: list[EncodedObject], authority: Authority, server_pair: Pair
) -> None:
    node = start(tls=listening(server_pair, authority))
    sender = secure_client(node, token_file=node.token_file, trusted=authority.certificate)
    assert sender.send(objects) == dict.fromkeys(uids(objects), 0)
    assert node.observer.of(TlsHandshake)[0].result == "ok"
    with pytest.raises(DestinationUnreachableError):
        client(node.url, token_file=node.token_file).echo()
    sender.echo()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    start: Callable[..., StowNode],
    objects: list[EncodedObject],
    authority: Authority,
    server_pair: Pair,
    tmp_path: Path,
) -> None:
    node = start(tls=listening(server_pair, authority))
    other = Authority(tmp_path / "other", name="Another Authority")
    for sender in (secure_client(node), secure_client(node, trusted=other.certificate)):
        with pytest.raises(DestinationUnreachableError, match=r"certificate verify failed|unknown_authority"):
            sender.send(objects)
    assert node.stored() == {}


def test_a_certificate_takes_the_place_of_a_token(
    start: Callable[..., StowNode], objects: list[EncodedObject], authority: Authority, server_pair: Pair
) -> None:
    ours, others = authority.issue("gateway"), authority.issue("stranger")
    node = start(
        tls=listening(server_pair, authority, client_certificate=True),
        peer={"token_file": None, "certificate_sha256": ours.sha256},
    )
    show = {"trusted": authority.certificate, "certificate": ours.certificate, "key": ours.key}
    assert secure_client(node, **show).send(objects) == dict.fromkeys(uids(objects), 0)
    with pytest.raises(DestinationUnreachableError, match="HTTP 401"):
        secure_client(node, **{**show, "certificate": others.certificate, "key": others.key}).send(objects)
    with pytest.raises(DestinationUnreachableError):
        secure_client(node, trusted=authority.certificate).send(objects)


def test_a_token_and_a_certificate_must_both_be_shown_where_both_are_asked(
    start: Callable[..., StowNode], objects: list[EncodedObject], authority: Authority, server_pair: Pair
) -> None:
    ours = authority.issue("gateway")
    node = start(tls=listening(server_pair, authority), peer={"certificate_name": "gateway"})
    show = {"trusted": authority.certificate, "certificate": ours.certificate, "key": ours.key}
    for half in (
        secure_client(node, **show),
        secure_client(node, token_file=node.token_file, trusted=authority.certificate),
    ):
        with pytest.raises(DestinationUnreachableError, match="HTTP 401"):
            half.send(objects)
    assert secure_client(node, token_file=node.token_file, **show).send(objects) == dict.fromkeys(uids(objects), 0)


def test_a_client_that_is_silent_in_its_handshake_holds_nobody_up(
    start: Callable[..., StowNode], objects: list[EncodedObject], authority: Authority, server_pair: Pair
) -> None:
    settings = listening(server_pair, authority).model_copy(update={"handshake_seconds": 0.5})
    node = start(tls=settings)
    with open_socket(node.server.port) as silent:
        sender = secure_client(node, token_file=node.token_file, trusted=authority.certificate)
        assert sender.send(objects) == dict.fromkeys(uids(objects), 0)
        assert silent.recv(1) == b""
    assert [event.result for event in node.observer.of(TlsHandshake)].count("timeout") == 1


# --- the response module --------------------------------------------------------------------------------------------


def test_the_module_is_read_as_it_was_written() -> None:
    statuses = [
        InstanceStatus(CT, f"1.2.{number}", status) for number, status in enumerate((0, 0xB000, 0xA700, 0xC122))
    ]
    assert sorted(read_store_response(write_store_response(statuses)), key=repr) == sorted(statuses, key=repr)


def test_a_hostile_uid_is_not_repeated() -> None:
    module = json.loads(
        write_store_response([InstanceStatus("x" * 99, "1.2<script>", 0xC000), InstanceStatus(CT, "", 0x0110)])
    )
    assert module == {
        "0008119A": {
            "vr": "SQ",
            "Value": [{"00081197": {"vr": "US", "Value": [reason]}} for reason in (0xC000, 0x0110)],
        }
    }


@pytest.mark.parametrize("reason", [0, 0xB000, 0xB007])
def test_a_failure_never_reads_as_stored(reason: int) -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [_item("1.2", {"00081197": reason})]}}
    assert read_store_response(json.dumps(failed).encode()) == (InstanceStatus(CT, "1.2", 0x0110),)


def test_a_failure_without_a_reason_is_a_failure() -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [_item("1.2", {})]}, "00081199": {"vr": "SQ"}}
    assert read_store_response(json.dumps([failed]).encode()) == (InstanceStatus(CT, "1.2", 0x0110),)


def test_a_warning_outside_the_warnings_is_one_of_them() -> None:
    stored = {"00081199": {"vr": "SQ", "Value": [_item("1.2", {"00081196": 1})]}}
    assert read_store_response(json.dumps(stored).encode()) == (InstanceStatus(CT, "1.2", 0xB000),)


def _item(uid: str, reasons: dict[str, int]) -> dict[str, object]:
    values = {"00081150": CT, "00081155": uid, **reasons}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}


XML = f"""<?xml version="1.0" encoding="utf-8"?>
<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
  <DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
    <DicomAttribute tag="00081150" vr="UI"><Value number="1">{CT}</Value></DicomAttribute>
    <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2</Value></DicomAttribute>
    <DicomAttribute tag="00081197" vr="US"><Value number="1">43264</Value></DicomAttribute></Item>
  </DicomAttribute>
  <DicomAttribute tag="00081199" vr="SQ"><Item number="1">
    <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.3</Value></DicomAttribute></Item></DicomAttribute>
</NativeDicomModel>"""


def test_xml_is_read() -> None:
    assert read_store_response(XML.encode()) == (InstanceStatus("", "1.3", 0), InstanceStatus(CT, "1.2", 0xA900))


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE a [<!ENTITY e "1.2">]>' + XML.partition("?>")[2],
        "<a><b></a>",
        "<",
        XML.replace("43264", "many"),
        "<NativeDicomModel/>",
    ],
)
def test_xml_that_is_no_module_is_refused(body: str) -> None:
    with pytest.raises(StoreResponseError):
        read_store_response(body.encode())
