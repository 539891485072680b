# SPDX-License-Identifier: Apache-2.0
"""Takes a multipart/related body (RFC 2046, RFC 2387) apart while it arrives, whatever the size of its parts."""

import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,199}[0-9A-Za-z'()+_,\-./:=?]")
"""The characters of RFC 2046 section 5.1.1, but not its 70 at most: Orthanc's boundaries have 73."""
EPILOGUE_BYTES = 4_096
"""What may follow the last boundary; RFC 2046 says that it is to be ignored, but not for how long."""
PART_HEADERS = 8
CRLF = b"\r\n"
PART_HEADER_BYTES = 1_024

NO_FORM = "the body has no boundary where one must be, or a header that is none (RFC 2046)"

logging.getLogger("python_multipart").setLevel(logging.CRITICAL + 1)  # it quotes the body


class MultipartError(ConnectionError):
    """The body is not what its Content-Type says, or ends too early; nothing after this place can be read.

    To a receiver it is what a broken connection is: the instance was not sent.
    """


class TooManyPartsError(MultipartError):
    """The body has more parts than one request may have."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the body; `data` can be read once, and only until the next part is asked for.

    A chunk is valid until the next one is asked for. Header names are in lower case.
    """

    headers: dict[str, str]
    data: Iterator[memoryview]


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type: the type in lower case, and its parameters."""

    name: str
    parameters: dict[str, str]


def parse_media_type(text: str) -> MediaType:
    """Parse the value of a Content-Type header; the name is "" when there is none."""
    message = Message()
    message["Content-Type"] = text
    pairs = message.get_params(failobj=[])
    if not pairs:
        return MediaType("", {})
    return MediaType(pairs[0][0].strip().lower(), {name.lower(): str(value) for name, value in pairs[1:]})


class MultipartReader:
    """The parts of a body, in order.

    Parameters
    ----------
    body
        The body in pieces of any size; what it raises passes through.
    """

    def __init__(self, boundary: str, body: Iterable[bytes], *, max_parts: int) -> None:
        if not BOUNDARY.fullmatch(boundary):
            raise MultipartError("the boundary must have 1 to 200 characters of RFC 2046 section 5.1.1")
        self._body = _from_first_boundary(iter(body), f"--{boundary}".encode())
        self._max_parts = max_parts
        self._news: deque[tuple[str, memoryview]] = deque()
        self._broken = ""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: self._add("begin"),
                "on_header_field": lambda data, start, end: self._add("name", data, start, end),
                "on_header_value": lambda data, start, end: self._add("value", data, start, end),
                "on_header_end": lambda: self._add("header"),
                "on_headers_finished": lambda: self._add("headers"),
                "on_part_data": lambda data, start, end: self._add("data", data, start, end),
                "on_part_end": lambda: self._add("part"),
                "on_end": lambda: self._add("end"),
            },
            max_header_count=PART_HEADERS,
            max_header_size=PART_HEADER_BYTES,
        )

    def __iter__(self) -> Iterator[Part]:
        """Yield each part; raises MultipartError when the body breaks the form, OSError when it breaks off."""
        for _ in range(self._max_parts):
            if self._next()[0] == "end":
                self._read_epilogue()
                return
            part = Part(self._headers(), self._data())
            yield part
            for _ in part.data:
                """What nobody wanted is read over."""
        if self._next()[0] != "end":
            raise TooManyPartsError(f"the request has more than {self._max_parts} parts; send it in several")
        self._read_epilogue()

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        name = value = b""
        while (news := self._next())[0] != "headers":
            if news[0] == "name":
                name += bytes(news[1])
            elif news[0] == "value":
                value += bytes(news[1])
            else:
                headers[name.decode("ascii").lower()] = value.decode("latin-1").strip()
                name = value = b""
        return headers

    def _data(self) -> Iterator[memoryview]:
        while (news := self._next())[0] != "part":
            yield news[1]

    def _read_epilogue(self) -> None:
        size_bytes = 0
        for piece in self._body:
            size_bytes += len(piece)
            if size_bytes > EPILOGUE_BYTES:
                raise MultipartError("the body goes on after its last boundary")

    def _next(self) -> tuple[str, memoryview]:
        while not self._news:
            if self._broken:
                raise MultipartError(self._broken)
            self._feed()
        return self._news.popleft()

    def _feed(self) -> None:
        piece = next(self._body, None)
        if piece is None:
            self._broken = "the body ends before its last boundary"
            return
        try:
            self._parser.write(piece)
        except FormParserError:  # its text quotes the body
            self._broken = NO_FORM

    def _add(self, kind: str, data: bytes = b"", start: int = 0, end: int = 0) -> None:
        self._news.append((kind, memoryview(data)[start:end]))


def _from_first_boundary(body: Iterator[bytes], delimiter: bytes) -> Iterator[bytes]:
    """Yield the body without the empty line that may precede its first boundary.

    python-multipart also skips other text there, but only as far as it comes in one piece.
    """
    start = b""
    while len(start) < len(CRLF) + len(delimiter) and (piece := next(body, b"")):
        start += piece
    start = start.removeprefix(CRLF)
    if start and not start.startswith(delimiter) and not delimiter.startswith(start):
        raise MultipartError(NO_FORM)
    yield start
    yield from body
