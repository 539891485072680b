# SPDX-License-Identifier: Apache-2.0
"""Everything that reads a peer's bytes, as functions of bytes: hypothesis calls them per commit, atheris for hours.

A target returns when the bytes were understood or refused in the way that the parser promises; whatever else it raises
is a find. Where there is a writer, what was read is written and read again.
"""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from service.dicom.codestream import check_jpeg, check_jpeg_2000, check_rle
from service.dicom.header import read_attributes, read_source_dataset
from service.dicom.parsing import transfer_syntax_uid
from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.dicom.scan import Scanner
from service.domain.errors import InputError, PixelError
from service.transport.connection import Limits, PeerBrokeLimitError, PeerClosedError
from service.transport.dimse import Command, decode_command, encode_command
from service.transport.negotiation import accept, decode_accept, decode_reject, decode_request, encode_request
from service.transport.pdu import PduReader, PduType
from service.transport.sop_classes import INPUT_SOP_CLASSES, accepted_contexts

Target = Callable[[bytes], None]

IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "AccessionNumber")
_SUPPORTED = accepted_contexts(INPUT_SOP_CLASSES, SUPPORTED_TRANSFER_SYNTAXES)
_SCANNER = Scanner()
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of random name in it
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-", dir=_MEMORY if Path(_MEMORY).is_dir() else None)
EXPLICIT = "1.2.840.10008.1.2.1"


class Said:
    """A connection whose peer says some bytes, a few at a time, and hangs up."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._step = 1 + len(data) % 97

    def receive(self, view: memoryview, **_: object) -> int:
        count = min(len(view), len(self._data), self._step)
        if not count:
            raise PeerClosedError
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


def pdu_reader(data: bytes) -> None:
    """A whole conversation: PDUs, command sets and data sets."""
    limits = Limits(pdu_bytes=16_384, object_bytes=1 << 20)
    reader = PduReader(Said(data), limits)  # type: ignore[arg-type]  # all that the reader asks of a connection
    with suppress(PeerBrokeLimitError, PeerClosedError):
        while True:
            if reader.next_pdu(seconds=1) != PduType.P_DATA:
                reader.body()
                continue
            context, command = reader.command()
            if decode_command(command).has_data_set:
                assert sum(map(len, reader.data_set(context))) <= len(data)


def association(data: bytes) -> None:
    """An association request, and our answer to it read by our own requestor."""
    try:
        request = decode_request(data)
    except PeerBrokeLimitError:
        return
    answer, contexts = accept(request, _SUPPORTED, max_pdu_bytes=16_384)
    names = {number: context.abstract_syntax for number, context in contexts.items()}
    assert dict(decode_accept(answer[6:], names).contexts) == contexts
    pairs = [(context.abstract_syntax, context.transfer_syntax) for context in contexts.values()]
    again, numbers = encode_request(request.calling_ae[:16] or "A", "B", pairs, max_pdu_bytes=16_384)
    read = decode_request(again[6:])
    assert len(read.primitive.presentation_context_definition_list) == len(numbers)


def association_answer(data: bytes) -> None:
    """What an archive answers to our request."""
    with suppress(PeerBrokeLimitError):
        decode_accept(data, {1: "1.2", 3: "1.3"})
    if len(data) == 4:
        decode_reject(data)


def command(data: bytes) -> None:
    """A command set."""
    try:
        read = decode_command(data)
    except PeerBrokeLimitError:
        return
    assert isinstance(read.field, int)
    assert isinstance(read.has_data_set, bool)
    again: Command = decode_command(encode_command(read.elements))
    assert again.elements == read.elements


def codestream(data: bytes) -> None:
    """A compressed frame before its decoder."""
    for check in (check_jpeg, check_jpeg_2000):
        with suppress(PixelError):
            claims, repaired = check(data)
            assert check(repaired) == (claims, repaired)
    with suppress(PixelError):
        assert check_rle(data) == data


def part10(data: bytes) -> None:
    """A DICOM file."""
    path = _file(data)
    with suppress(InputError):
        transfer_syntax_uid(path)
        json.dumps(read_attributes(path))
        read_source_dataset(path)


def data_set(data: bytes) -> None:
    """A data set as a C-STORE brings it: what is let in must be the same object to whoever reads it afterwards."""
    path = _file(_meta(EXPLICIT) + data)
    try:
        admitted = _admit(path)
    except InputError:
        return
    json.dumps(admitted)
    read = read_attributes(path)
    for keyword in IDENTITY:
        assert read.get(keyword) == admitted.get(keyword), keyword


def _admit(path: Path) -> dict[str, object]:
    return dict(_SCANNER.scan(path))


def _file(data: bytes) -> Path:
    path = Path(_FOLDER.name) / str(os.getpid())
    path.write_bytes(data)
    return path


def _meta(transfer_syntax: str) -> bytes:
    uid = transfer_syntax.encode() + bytes(len(transfer_syntax) % 2)
    meta = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    return bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little") + meta


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (pdu_reader, association, association_answer, command, codestream, part10, data_set)
}
