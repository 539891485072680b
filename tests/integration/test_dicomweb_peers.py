# SPDX-License-Identifier: Apache-2.0
"""Real DICOMweb clients send to our server, and our client sends to a real service: Orthanc, dicomweb-client, curl."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from fakes import Recorder
from harness.dcmtk import Called, storescu
from harness.images import image_dataset, save_image
from harness.node import NodeProgram
from harness.orthanc import DICOMWEB_PLUGIN, Orthanc, dicomweb_options
from harness.phantom import ct_slice
from harness.processes import free_port
from harness.stow import TOKEN, StowNode, multipart, post
from service.domain.errors import DestinationUnreachableError
from service.domain.event import InstanceReceived
from service.ports import EncodedObject, ResultKind
from service.settings import DestinationSettings, NodeSettings, PeerSettings
from service.transport.dicomweb.client import StowClient
from service.transport.store_scp import StoreScp

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(
        not DICOMWEB_PLUGIN.exists(), reason="PEERS MISSING: orthanc-dicomweb; run tests/install_peers.sh"
    ),
]

StartOrthanc = Callable[..., Orthanc]
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[StowNode]:
    (tmp_path / "node").mkdir()
    node = StowNode(tmp_path / "node")
    yield node
    node.stop()


@pytest.fixture
def sender(start_orthanc: StartOrthanc, node: StowNode) -> Orthanc:
    """An Orthanc that knows our server as "dokuei"."""
    return start_orthanc(options=dicomweb_options({"dokuei": {"Url": node.url, "HttpHeaders": AUTHORIZATION}}))


@pytest.fixture
def archive(start_orthanc: StartOrthanc) -> Orthanc:
    return start_orthanc(options=dicomweb_options())


def test_orthanc_sends_a_study_and_each_instance_arrives_as_it_is(
    sender: Orthanc, node: StowNode, tmp_path: Path
) -> None:
    compressed = ct_slice(tmp_path / "jls.dcm", study_uid="1.2.3", transfer_syntax=JPEGLSLossless)
    paths = [*(ct_slice(tmp_path / f"{number}.dcm", study_uid="1.2.3", rows=512) for number in range(20)), compressed]
    for path in paths:
        sender.upload(path)
    (study,) = sender.studies()
    assert sender.stow_to("dokuei", [study])["InstancesCount"] == "21"
    stored = node.stored()
    assert len(stored) == 21
    for path in paths:
        sent = dcmread(path)
        kept = dcmread(stored[sent.SOPInstanceUID])
        assert kept == sent
        assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert {(event.peer, event.outcome) for event in node.observer.of(InstanceReceived)} == {("gateway", "stored")}
    assert node.leftovers() == []


def test_orthanc_sends_the_same_study_again_without_harm(sender: Orthanc, node: StowNode, tmp_path: Path) -> None:
    sender.upload(ct_slice(tmp_path / "a.dcm"))
    for _ in range(2):
        sender.stow_to("dokuei", sender.instances())
    assert [event.outcome for event in node.observer.of(InstanceReceived)] == ["stored", "duplicate"]
    assert len(node.stored()) == 1


def test_the_same_instance_by_store_and_by_stow_is_one(node: StowNode, tmp_path: Path) -> None:
    path = ct_slice(tmp_path / "a.dcm")
    scp = StoreScp(
        NodeSettings(host="127.0.0.1", port=1).model_copy(update={"port": 0}),
        peers=[PeerSettings.model_validate({"name": "modality", "ae_title": "MODALITY", "address": "127.0.0.1"})],
        receiver=node.receive,
        observer=node.observer,
        transfer_syntaxes=["1.2.840.10008.1.2.1"],
    )
    scp.start()
    try:
        assert storescu(Called(port=scp.port), [path]).returncode == 0
    finally:
        scp.drain(5)
    assert _curl(node, path, tmp_path) == "200"
    assert [event.outcome for event in node.observer.of(InstanceReceived)] == ["stored", "duplicate"]
    assert len(node.stored()) == 1


@pytest.mark.parametrize("options", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")])
def test_curl_sends(node: StowNode, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert _curl(node, ct_slice(tmp_path / "a.dcm", rows=1024), tmp_path, *options) == "200"
    assert len(node.stored()) == 1


def _curl(node: StowNode, path: Path, folder: Path, *options: str) -> str:
    body = folder / "body"
    body.write_bytes(multipart([path.read_bytes()]))
    types = ["-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=dokuei-test']
    answer = ["-o", str(folder / "answer"), "-w", "%{http_code}"]
    token = ["-H", f"Authorization: Bearer {TOKEN}"]
    command = ["curl", "-sS", *types, *token, *answer, *options, "--data-binary", f"@{body}", f"{node.url}/studies"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_dicomweb_client_sends_and_reads_our_answer(node: StowNode, tmp_path: Path) -> None:
    good, refused = dcmread(ct_slice(tmp_path / "a.dcm")), dcmread(ct_slice(tmp_path / "b.dcm"))
    refused.SOPClassUID = refused.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    client = DICOMwebClient(url=node.url, headers=AUTHORIZATION)
    answer: Dataset = client.store_instances([good, refused])
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [good.SOPInstanceUID]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in answer.FailedSOPSequence] == [
        (refused.SOPInstanceUID, 0x0122)
    ]


def test_our_results_arrive_at_orthanc_and_arrive_once(archive: Orthanc, tmp_path: Path) -> None:
    objects = [_encoded(ct_slice(tmp_path / f"{number}.dcm", rows=700)) for number in range(4)]
    client = _client(archive.dicomweb_url)
    client.echo()
    for _ in range(2):
        assert client.send(objects) == dict.fromkeys((item.sop_instance_uid for item in objects), 0)
    assert len(archive.instances()) == 4
    for item in objects:
        instance = archive.find(item.sop_instance_uid)
        assert instance is not None
        assert dcmread(item.path) == _parse(archive.file(instance), tmp_path)


def test_orthanc_refuses_one_object_and_keeps_the_others(archive: Orthanc, tmp_path: Path) -> None:
    good = _encoded(ct_slice(tmp_path / "a.dcm"))
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM")
    bad = EncodedObject(kind=ResultKind.SR, sop_class_uid=CT, sop_instance_uid="1.2.3", path=tmp_path / "bad.dcm")
    client = _client(archive.dicomweb_url)
    assert client.send([good, bad]) == {good.sop_instance_uid: 0, "1.2.3": 0xC000}


def test_orthanc_that_is_full_has_nothing_delivered(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """Orthanc 1.10 answers 200 and names nothing, later ones answer 507."""
    options = {**dicomweb_options(), "MaximumStorageSize": 1, "MaximumStorageMode": "Reject"}
    archive = start_orthanc(options=options)
    client = _client(archive.dicomweb_url)
    large = _encoded(ct_slice(tmp_path / "large.dcm", rows=1024))
    assert client.send([large])[large.sop_instance_uid] in {None, 0xA700}
    assert archive.instances() == []


def test_a_wrong_path_and_an_orthanc_that_is_down_are_told_apart(archive: Orthanc) -> None:
    elsewhere = archive.dicomweb_url.replace("dicom-web", "nothing")
    with pytest.raises(DestinationUnreachableError, match="check the path"):
        _client(elsewhere).echo()
    archive.stop()
    with pytest.raises(DestinationUnreachableError, match="did not answer"):
        _client(archive.dicomweb_url).echo()


def _client(url: str) -> StowClient:
    return StowClient(DestinationSettings(name="pacs", url=url), observer=Recorder())


def _encoded(path: Path) -> EncodedObject:
    uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    return EncodedObject(kind=ResultKind.SR, sop_class_uid=CT, sop_instance_uid=uid, path=path)


def _parse(content: bytes, folder: Path) -> Dataset:
    path = folder / "from-orthanc.dcm"
    path.write_bytes(content)
    return dcmread(path)


def test_a_study_comes_in_and_its_results_go_out_over_dicomweb_alone(
    archive: Orthanc, start_node: Callable[..., NodeProgram], tmp_path: Path
) -> None:
    token_file, port = tmp_path / "token", free_port()
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    retries = {"retry_first_seconds": 0.5, "retry_max_seconds": 2}
    node = start_node(
        archive,
        dicomweb={"port": port},
        peers=[{"name": "gateway", "address": "127.0.0.1", "token_file": str(token_file)}],
        destinations=[{"name": "archive", "url": archive.dicomweb_url, **retries}],
    )
    lateral = image_dataset(np.zeros((64, 64), np.uint16), BodyPartExamined="CHEST", ViewPosition="LL")
    film = save_image(lateral, tmp_path / "film.dcm")
    answer = post(port, multipart([film.read_bytes()]))
    assert (answer.status, len(answer.stored)) == (200, 1)
    (study,) = node.wait_for_results(1, seconds=240).values()
    assert study.outcome == "not_analysed"
    kinds = {archive.tags(instance)["Modality"] for instance in archive.wait_for_instances(3)}
    assert kinds == {"SR", "OT", "PR"}
    assert (
        'dokuei_instances_received_total{modality="CR",peer="gateway",status="stored"} 1.0' in node.http("/metrics")[1]
    )
    assert TOKEN not in node.log
    node.stop()
    assert [line["reason"] for line in node.events("node_stopping")] == ["SIGTERM"]
