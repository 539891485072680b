# SPDX-License-Identifier: Apache-2.0
"""Data sets on their way out: read from the file straight into the PDUs that carry them, several in one buffer."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.transport.pdu import p_data_header

SEND_BYTES = 1_048_576
"""Read from the file and handed to the kernel at once."""
SMALL_BYTES = 65_536
PDV_HEADER_BYTES = 6
PDU_HEADER_BYTES = 12
"""PDU and PDV header of a P-DATA-TF with one fragment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10:
    """A DICOM file whose data set begins at `offset`."""

    path: Path
    offset: int


def with_head(head: bytes, fragments: Iterator[memoryview]) -> Iterator[bytes | memoryview]:
    """Yield what is to be sent: the command together with a data set that is small, or before one that is not."""
    first = next(fragments, memoryview(b""))
    if len(first) <= SMALL_BYTES:
        yield head + first
    else:
        yield head
        yield first
    yield from fragments


class _Memory:
    """A data set in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, views: Sequence[memoryview], position: int) -> int:
        """Fill the views from a position on; returns the number of bytes."""
        filled = 0
        for view in views:
            part = self._data[position + filled : position + filled + len(view)]
            view[: len(part)] = part
            filled += len(part)
        return filled


class _File:
    """The data set of a Part 10 file."""

    def __init__(self, part10: Part10) -> None:
        self._descriptor = os.open(part10.path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = part10.offset
        self.size = os.fstat(self._descriptor).st_size - part10.offset

    def read(self, views: Sequence[memoryview], position: int) -> int:
        """Fill the views from a position on; returns the number of bytes."""
        return os.preadv(self._descriptor, views, self._offset + position)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Source:
    """A data set as the P-DATA-TF PDUs that carry it, several in one buffer that is used again."""

    def __init__(self, data: "_Memory | _File") -> None:
        self._data = data
        self.size = data.size

    def fragments(self, context_id: int, max_pdu_bytes: int) -> Iterator[memoryview]:
        """Yield PDUs in batches; a batch is valid until the next is asked for."""
        payload = max(2, max_pdu_bytes - PDV_HEADER_BYTES) // 2 * 2
        stride = PDU_HEADER_BYTES + payload
        slots = max(1, min(SEND_BYTES // stride, -(-self.size // payload)))
        buffer = memoryview(bytearray(slots * stride))
        header = p_data_header(payload, context_id, command=False, last=False)
        for slot in range(slots):
            buffer[slot * stride : slot * stride + PDU_HEADER_BYTES] = header
        views = [buffer[slot * stride + PDU_HEADER_BYTES : (slot + 1) * stride] for slot in range(slots)]
        position = 0
        while position < self.size:
            count = self._fill(views, position)
            position += count
            yield self._batch(buffer, count, stride=stride, context_id=context_id, last=position >= self.size)

    def _fill(self, views: Sequence[memoryview], position: int) -> int:
        """Fill all views, or as many as the data set still has."""
        wanted = min(self.size - position, sum(len(view) for view in views))
        count = self._data.read(views, position)
        if count < wanted:
            raise OSError(errno.EIO, "the file of a result ended before its size")
        return wanted

    @staticmethod
    def _batch(buffer: memoryview, count: int, *, stride: int, context_id: int, last: bool) -> memoryview:
        if not last:
            return buffer
        payload = stride - PDU_HEADER_BYTES
        whole, rest = divmod(count - 1, payload)
        start, length = whole * stride, rest + 1
        buffer[start : start + PDU_HEADER_BYTES] = p_data_header(length, context_id, command=False, last=True)
        return buffer[: start + PDU_HEADER_BYTES + length]


@contextmanager
def opened(data_set: bytes | Part10) -> Iterator[Source]:
    """Open a data set for sending."""
    if isinstance(data_set, bytes):
        yield Source(_Memory(data_set))
        return
    file = _File(data_set)
    try:
        yield Source(file)
    finally:
        file.close()
