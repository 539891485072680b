# SPDX-License-Identifier: Apache-2.0
"""Small data sets of messages other than C-STORE, to and from bytes."""

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID


class UnreadableError(ValueError):
    """A data set of a message cannot be used."""


def encode(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Return an encoded data set."""
    syntax = UID(transfer_syntax)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def decode(data: bytes, transfer_syntax: str) -> Dataset:
    """Return a small data set of a message; raises UnreadableError."""
    syntax = UID(transfer_syntax)
    try:
        return read_dataset(BytesIO(data), syntax.is_implicit_VR, syntax.is_little_endian)
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever a parser can on a peer's bytes
        raise UnreadableError(type(error).__name__) from None
