# SPDX-License-Identifier: Apache-2.0
"""A modality over plain sockets that stores CT slices and knows at every moment what it has sent and what came back."""

import socket
import struct
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from harness.scripted import association_request, read_pdu

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
ASSOCIATE_AC, P_DATA, RELEASE_RQ = 2, 4, 5
COMMAND, LAST = 1, 2
PDU_BYTES = 16_384


class RejectedError(Exception):
    """The node did not accept the association."""


class Modality:
    """One association that proposes CT in Explicit VR Little Endian as presentation context 1."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", calling: str = "MODALITY", seconds: float = 30) -> None:
        self.socket = socket.create_connection((host, port), timeout=seconds)
        self._message_id = 0
        try:
            self._associate(calling)
        except BaseException:
            self.socket.close()
            raise

    def _associate(self, calling: str) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = association_request(
            calling=calling, sop_class=CTImageStorage, transfer_syntax=str(ExplicitVRLittleEndian)
        )
        self.socket.sendall(request)
        kind, _answer = read_pdu(self.socket)
        if kind != ASSOCIATE_AC:
            raise RejectedError(f"answered the association request with a PDU of type {kind}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.close(release=kind is None)

    def store(self, sop_instance_uid: str, dataset: bytes) -> int:
        """C-STORE and return the status; raises OSError when the connection breaks first."""
        self.socket.sendall(self.request(sop_instance_uid, dataset))
        return self.status()

    def request(self, sop_instance_uid: str, dataset: bytes) -> bytes:
        """Return all PDUs of a C-STORE-RQ."""
        self._message_id += 1
        command = _command(sop_instance_uid, self._message_id % 65_536)
        return _p_data(command, COMMAND | LAST) + b"".join(_fragments(dataset))

    def status(self) -> int:
        """Read the answer to a C-STORE."""
        kind, pdu = read_pdu(self.socket)
        if kind != P_DATA:
            raise ConnectionAbortedError(f"a PDU of type {kind} came instead of an answer")
        at = 12
        while at + 8 <= len(pdu):
            group, element, length = struct.unpack_from("<HHI", pdu, at)
            if (group, element) == (0x0000, 0x0900):
                return int(struct.unpack_from("<H", pdu, at + 8)[0])
            at += 8 + length
        raise ConnectionAbortedError("the answer holds no status")

    def close(self, *, release: bool = True) -> None:
        try:
            if release:
                self.socket.sendall(struct.pack(">BxII", RELEASE_RQ, 4, 0))
                read_pdu(self.socket)
        except OSError:
            pass  # the other side was faster
        finally:
            self.socket.close()


def slice_dataset(sop_instance_uid: str, *, study_instance_uid: str, size_bytes: int = 8_192, seed: int = 0) -> bytes:
    """Return the bytes of a small CT slice; another `seed` gives other pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.StudyDate, dataset.Modality = "20260101", "CT"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "CHAOS^NOBODY", "CHAOS", "O"
    dataset.StudyInstanceUID = study_instance_uid
    dataset.SeriesInstanceUID = f"{study_instance_uid}.1"
    dataset.InstanceNumber = seed + 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = max(1, size_bytes // 256), 128
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.add_new("PixelData", "OW", bytes([seed % 256, 1]) * (dataset.Rows * 128))
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def _fragments(dataset: bytes) -> list[bytes]:
    room = PDU_BYTES - 6
    return [
        _p_data(dataset[at : at + room], LAST if at + room >= len(dataset) else 0)
        for at in range(0, len(dataset), room)
    ]


def _p_data(data: bytes, control: int) -> bytes:
    return struct.pack(">BxIIBB", P_DATA, len(data) + 6, len(data) + 2, 1, control) + data


def _command(sop_instance_uid: str, message_id: int) -> bytes:
    elements = b"".join(
        (
            _element(0x0002, _uid(str(CTImageStorage))),
            _element(0x0100, struct.pack("<H", 0x0001)),
            _element(0x0110, struct.pack("<H", message_id)),
            _element(0x0700, struct.pack("<H", 0)),
            _element(0x0800, struct.pack("<H", 1)),
            _element(0x1000, _uid(sop_instance_uid)),
        )
    )
    return _element(0x0000, struct.pack("<I", len(elements))) + elements


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, number, len(value)) + value


def _uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
