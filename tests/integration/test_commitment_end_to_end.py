# SPDX-License-Identifier: Apache-2.0
"""A node and a real Orthanc: results are committed, also when Orthanc restarts or was away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fakes import CT, FakeAnalyst, ct_dataset, incoming
from harness.orthanc import Orthanc
from harness.processes import free_port
from node import SETTINGS, Node, running
from service.domain.event import CircuitChanged
from service.ports import EncodeRequest, ResultObject
from service.settings import NodeSettings, PeerSettings, Settings
from service.transport.store_scp import StoreScp
from service.transport.store_scu import StoreScu
from service.workflow import TakeReport

pytestmark = pytest.mark.peers


class RealObjects(FakeAnalyst):
    """Makes one small DICOM object of each job."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        dataset = ct_dataset(1, 1)
        dataset.StudyInstanceUID = request.analysis.study_instance_uid
        dataset.SOPInstanceUID = f"2.25.{int(request.analysis.job_key, 16)}"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = request.analysis.folder / "sr.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return (ResultObject(kind="sr", sop_class_uid=CT, sop_instance_uid=dataset.SOPInstanceUID, path=path),)


def settings_for(port: int, *, report_seconds: float) -> Settings:
    destination = {
        **SETTINGS.destinations[0].model_dump(),
        "ae_title": "ORTHANC",
        "host": "127.0.0.1",
        "port": port,
        "timeout_seconds": 5,
        "commitment": "request",
        "commitment_report_seconds": report_seconds,
    }
    peers = [PeerSettings.model_validate({"name": "orthanc", "ae_title": "ORTHANC", "address": "127.0.0.1"})]
    return Settings.model_validate({**SETTINGS.model_dump(), "destinations": [destination], "peers": peers})


@contextmanager
def committing(root: Path, *, archive_port: int, own_port: int, report_seconds: float = 3.0) -> Iterator[Node]:
    settings = settings_for(archive_port, report_seconds=report_seconds)
    scu = StoreScu(settings.destinations[0], ae_title="DOKUEI")
    changes: dict[str, Any] = {"settings": settings, "destinations": {"pacs": scu}, "archives": {"pacs": scu}}
    with running(root, analyst=RealObjects(), **changes) as node:
        own = NodeSettings(ae_title="DOKUEI", host="127.0.0.1", port=own_port)
        scp = StoreScp(
            own,
            peers=settings.peers,
            receiver=node.receive,
            observer=node.observer,
            transfer_syntaxes=["1.2.840.10008.1.2"],
            commitments=TakeReport(node.parts),
        )
        scp.start()
        try:
            yield node
        finally:
            scp.drain(2)


def send(node: Node, study: int) -> None:
    for number in (1, 2):
        node.receive(incoming(ct_dataset(study, number)))


def committed(node: Node) -> list[tuple[Any, ...]]:
    return node.rows("select state, proof from delivery")


def test_results_are_committed_by_orthanc(start_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    own_port = free_port()
    archive = start_orthanc(modalities={"dokuei": ("DOKUEI", own_port)})
    with committing(tmp_path, archive_port=archive.dicom_port, own_port=own_port) as node:
        send(node, 1)
        node.wait(lambda: committed(node) == [("committed", "report")])
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert node.rows("select number from commitment") == [(1,)]


def test_results_are_committed_by_query_when_orthanc_cannot_reach_us(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    archive = start_orthanc(modalities={"dokuei": ("DOKUEI", free_port())})  # where nobody listens
    # Seven reports are awaited in vain: no patience brings one.
    with committing(tmp_path, archive_port=archive.dicom_port, own_port=free_port(), report_seconds=0.5) as node:
        send(node, 1)
        node.wait(lambda: committed(node) == [("committed", "query")], seconds=90)
        assert len(node.rows("select * from commitment")) == 7


def test_an_orthanc_that_comes_late_gets_everything(start_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    own_port = free_port()
    archive = start_orthanc(modalities={"dokuei": ("DOKUEI", own_port)})
    archive.stop()
    with committing(tmp_path, archive_port=archive.dicom_port, own_port=own_port) as node:
        for study in range(1, 7):
            send(node, study)
        node.wait(lambda: any(event.state == "open" for event in node.observer.of(CircuitChanged)))
        archive.start()
        node.wait(lambda: committed(node) == [("committed", "report")] * 6, seconds=60)
