# SPDX-License-Identifier: Apache-2.0
"""Parses a Part 10 file up to its pixel data in bounded memory, and refuses what two readers read differently."""

import struct
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydicom import config as pydicom_config
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from service.dicom.wanted import IDENTITY
from service.domain.errors import DicomStructureError

# Odd values of a peer are ours to judge, element by element; pydicom's warnings would only repeat them.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

PARSE_FAULTS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on damaged input."""

MAX_VALUE_BYTES = 1 << 20
"""Longer values before the pixel data (private blobs, mostly) are left out."""
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXEL_TAGS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_CHARSET = 0x00080005

StopWhen = Callable[[BaseTag, str | None, int], bool]


@contextmanager
def quietly() -> Iterator[None]:
    """Silence pydicom's warnings about values it repairs: they go to nobody, and may quote the object."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@quietly()
def parse_dataset_header(path: Path, keep: Collection[int] = ()) -> FileDataset:
    """Read the data set before the pixel data; with `keep`, only these root tags.

    Raises
    ------
    DicomStructureError
        The file is no Part 10 file, is deflated, ends inside an element, or has root elements twice or out of order.
    """
    refuse_deflated(transfer_syntax_uid(path))
    try:
        with path.open("rb") as stream:
            tags = [Tag(tag) for tag in keep] or None
            return read_partial(stream, _guard(stream), defer_size=MAX_VALUE_BYTES, specific_tags=tags)  # type: ignore[arg-type]
    except PARSE_FAULTS as error:
        raise DicomStructureError(
            f"data set cannot be parsed ({type(error).__name__}); send it again from the modality or PACS"
        ) from error


@quietly()
def transfer_syntax_uid(path: Path) -> UID:
    """Return (0002,0010) of a Part 10 file; raises DicomStructureError when there is none."""
    try:
        uid = read_file_meta_info(path).get("TransferSyntaxUID")
    except InvalidDicomError as error:
        raise DicomStructureError(
            "file has no 'DICM' prefix after 128 bytes (PS3.10 7.1); give a DICOM Part 10 file"
        ) from error
    except PARSE_FAULTS as error:
        raise DicomStructureError(
            f"file meta information cannot be parsed ({type(error).__name__}); write the file again"
        ) from error
    if not uid or not isinstance(uid, str):
        raise DicomStructureError("(0002,0010) 'Transfer Syntax UID' is absent or no single UID (PS3.10 7.1)")
    return UID(uid)


def refuse_deflated(uid: UID) -> None:
    """Raise for the one transfer syntax in which a small file can grow without bound before anything can look at it."""
    if uid == DeflatedExplicitVRLittleEndian:
        raise DicomStructureError(
            "(0002,0010) 'Transfer Syntax UID' is Deflated Explicit VR Little Endian, which is not accepted because "
            "a small file can inflate without bound; send the object uncompressed"
        )


def _guard(stream: BinaryIO) -> StopWhen:
    """Return a watcher of the root elements that stops before the pixel data.

    pydicom keeps the last of two equal elements, DCMTK and GDCM the first: an object with two Patient IDs would
    belong to two patients. PS3.5 7.1 allows neither repetition nor disorder; disorder away from the identity is
    forgiven here, because admission may have forgiven it to a lenient peer.
    """
    size = _size(stream)
    previous = 0
    seen: set[int] = set()

    def stop(tag: BaseTag, _vr: str | None, length: int) -> bool:
        nonlocal previous
        if tag in _PIXEL_TAGS:
            return True
        if tag in seen or (tag < previous and tag in IDENTITY):
            raise DicomStructureError(f"{tag} follows {BaseTag(previous)}; PS3.5 7.1: every element once, ascending")
        if length != _UNDEFINED_LENGTH and stream.tell() + length > size:
            raise DicomStructureError(f"{tag} claims {length} bytes, more than the file holds; it is truncated")
        previous = max(tag, previous)
        seen.add(tag)
        return False

    return stop


def _size(stream: BinaryIO) -> int:
    position = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(position)
    return size


def decodable(dataset: Dataset) -> Dataset:
    """Return the data set, read as Latin when it names a character set that DICOM does not know.

    pydicom would hand the name to Python's codecs, some of which take quadratic time.
    """
    names = dataset.get(_CHARSET)
    values = names.value if names is not None and names.value is not None else ""
    if all(str(name) in python_encoding for name in ([values] if isinstance(values, str) else values)):
        return dataset
    return Dataset({tag: element for tag, element in dataset.items() if tag != _CHARSET})
