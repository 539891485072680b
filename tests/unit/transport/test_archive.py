# SPDX-License-Identifier: Apache-2.0
"""The bundled archive keeps what it is sent, in order, and nothing outside its folder."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from harness.phantom import ct_slice
from service.ports import EncodedObject, IncomingInstance, ResultKind, StoreOutcome
from service.settings import DestinationSettings
from service.transport.archive_scp import ArchiveScp
from service.transport.store_scu import StoreScu


def encoded(path: Path) -> EncodedObject:
    dataset = dcmread(path, stop_before_pixels=True)
    return EncodedObject(
        kind=ResultKind.SR, sop_class_uid=dataset.SOPClassUID, sop_instance_uid=dataset.SOPInstanceUID, path=path
    )


def test_keeps_instances_in_the_order_of_arrival(tmp_path: Path) -> None:
    archive = ArchiveScp(tmp_path / "archive")
    archive.start()
    settings = DestinationSettings(name="demo", ae_title="ARCHIVE", host="localhost", port=archive.port)
    objects = [encoded(ct_slice(tmp_path / f"{number}.dcm")) for number in range(3)]
    destination = StoreScu(settings, ae_title="DOKUEI")
    destination.echo()
    assert set(destination.send([*objects, objects[0]]).values()) == {0}
    archive.stop()
    assert [path.stem for path in archive.arrived] == [item.sop_instance_uid for item in objects]
    assert dcmread(archive.arrived[0]).PixelData == dcmread(objects[0].path).PixelData


@pytest.mark.parametrize("uid", ["../1.2", "/etc/1", "1.2\n3", "", "1..2", "1.2.dcm"])
def test_a_uid_that_is_none_never_becomes_a_file_name(tmp_path: Path, uid: str) -> None:
    archive = ArchiveScp(tmp_path)
    incoming = IncomingInstance(
        peer="caller-0",
        calling_ae="DOKUEI",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid=uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        dataset=[b""],
    )
    assert archive._keep(incoming) == StoreOutcome.CANNOT_UNDERSTAND
    assert list(tmp_path.iterdir()) == []


def test_strangers_are_rejected(tmp_path: Path) -> None:
    archive = ArchiveScp(tmp_path / "archive", callers=["DOKUEI"])
    archive.start()
    stranger = AE("STRANGER")
    stranger.add_requested_context("1.2.840.10008.1.1")
    association = stranger.associate("127.0.0.1", archive.port, ae_title="ARCHIVE")
    archive.stop()
    assert association.is_rejected
