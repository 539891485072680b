# SPDX-License-Identifier: Apache-2.0
"""The multipart reader: the same parts whatever the pieces, and an error rather than a part that did not come whole."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.transport.dicomweb.multipart import (
    EPILOGUE_BYTES,
    MultipartError,
    MultipartReader,
    TooManyPartsError,
    parse_media_type,
)

BOUNDARY = "b"
HEAD = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
SHARDS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"-",
    b"--",
    b"--b",
    b"\r\n--",
    b"\r\n--c",
    b"\n--b",
    b"\r\r\n--",
    b"b",
    b"\0",
    b"DICM",
]
"""What looks like a boundary and is none."""

contents = st.lists(
    st.lists(st.one_of(st.sampled_from(SHARDS), st.binary(max_size=9)), max_size=12).map(b"".join), max_size=4
)


def split(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return (body[start:end] for start, end in pairwise(places))


def read(body: bytes, cuts: Iterable[int] = (), *, boundary: str = BOUNDARY, max_parts: int = 100) -> list[bytes]:
    reader = MultipartReader(boundary, split(body, cuts), max_parts=max_parts)
    return [b"".join(part.data) for part in reader]


def make(parts: Iterable[bytes]) -> bytes:
    return b"".join(HEAD + part + b"\r\n" for part in parts) + b"--b--\r\n"


@settings(max_examples=400, deadline=None)
@given(contents, st.lists(st.integers(0, 10_000), max_size=40))
def test_any_cutting_gives_the_same_parts(parts: list[bytes], cuts: list[int]) -> None:
    wanted = [part for part in parts if b"\r\n--b" not in b"\r\n" + part]
    assert read(make(wanted), cuts) == wanted
    assert read(make(wanted), range(10_000)) == wanted


@settings(max_examples=300, deadline=None)
@given(contents.filter(bool), st.integers(0, 10_000), st.lists(st.integers(0, 10_000), max_size=10))
def test_a_body_cut_short_never_gives_a_part_that_did_not_come_whole(
    parts: list[bytes], end: int, cuts: list[int]
) -> None:
    wanted = [part for part in parts if b"\r\n--b" not in b"\r\n" + part] or [b"x"]
    body = make(wanted)
    cut = body[: end % (len(body) - 2)]
    got: list[bytes] = []
    with pytest.raises(MultipartError, match="ends before"):
        got.extend(b"".join(part.data) for part in MultipartReader(BOUNDARY, split(cut, cuts), max_parts=100))
    assert got == wanted[: len(got)]
    assert len(got) < len(wanted)


@settings(max_examples=500, deadline=None)
@given(
    st.booleans(),
    st.lists(st.sampled_from([*SHARDS, b"--b\r\n", b"\r\n--b--", b": ", b"A: b\r\n", b" ", b"\t"]), max_size=30),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_any_cutting_of_anything_ends_alike(begun: bool, shards: list[bytes], cuts: list[int]) -> None:
    body = HEAD * begun + b"".join(shards)
    assert outcome(body, cuts) == outcome(body, ()) == outcome(body, range(10_000))


def outcome(body: bytes, cuts: Iterable[int]) -> list[tuple[dict[str, str], bytes] | str]:
    """The whole parts, and how it ended."""
    parts: list[tuple[dict[str, str], bytes] | str] = []
    try:
        for part in MultipartReader(BOUNDARY, split(body, cuts), max_parts=100):
            parts.append((part.headers, b"".join(part.data)))  # noqa: PERF401 - what came before an error counts
    except MultipartError as error:
        return [*parts, str(error)]
    return [*parts, "end"]


def test_a_reader_may_leave_a_part_before_its_end() -> None:
    reader = MultipartReader(BOUNDARY, split(make([b"first" * 1000, b"second"]), range(0, 6000, 100)), max_parts=2)
    assert [bytes(next(part.data))[:3] for part in reader] == [b"fir", b"sec"]


def test_headers_are_told_in_lower_case() -> None:
    body = b"--b\r\nContent-TYPE: application/dicom\r\nContent-Length: 3\r\n\r\nabc\r\n--b--"
    (headers,) = [part.headers for part in MultipartReader(BOUNDARY, [body], max_parts=1)]
    assert headers == {"content-type": "application/dicom", "content-length": "3"}


def test_a_part_without_headers_is_a_part() -> None:
    assert read(b"--b\r\n\r\nabc\r\n--b--") == [b"abc"]


def test_too_many_parts_are_told_apart_from_a_bad_body() -> None:
    assert read(make([b"x"] * 3), max_parts=3) == [b"x"] * 3
    with pytest.raises(TooManyPartsError):
        read(make([b"x"] * 4), max_parts=3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"no boundary at all",
        b"--c\r\n\r\nabc\r\n--c--",
        b"--b\r\nno colon\r\n\r\nabc\r\n--b--",
        b"--b\r\nA: " + b"x" * 2_000 + b"\r\n\r\nabc\r\n--b--",
        b"--b\r\n" + b"A: x\r\n" * 20 + b"\r\nabc\r\n--b--",
    ],
)
@pytest.mark.parametrize("cuts", [(), range(100)])
def test_a_body_that_breaks_the_form_is_refused(body: bytes, cuts: Iterable[int]) -> None:
    with pytest.raises(MultipartError) as caught:
        read(body, cuts)
    assert "abc" not in str(caught.value)


def test_what_follows_the_last_boundary_is_read_over_but_not_for_ever() -> None:
    body = [make([b"abc"]), b"x" * EPILOGUE_BYTES]
    assert [b"".join(part.data) for part in MultipartReader(BOUNDARY, body, max_parts=1)] == [b"abc"]
    with pytest.raises(MultipartError, match="goes on"):
        list(MultipartReader(BOUNDARY, [*body, b"x"], max_parts=1))


@pytest.mark.parametrize("boundary", ["", " ", "a ", "x" * 201, "a\r\nb", "ä", 'a"b'])
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(MultipartError, match="boundary"):
        MultipartReader(boundary, [], max_parts=1)


def test_what_the_connection_raises_passes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield HEAD + b"abc"
        raise ConnectionResetError("gone")

    reader = MultipartReader(BOUNDARY, broken(), max_parts=1)
    with pytest.raises(ConnectionResetError, match="gone"):
        [list(part.data) for part in reader]


@pytest.mark.parametrize("text", ["", ";", "multipart/related; boundary", 'a/b; c="', "\x00", "a/b; charset*=x''%ff"])
def test_a_strange_content_type_is_read_without_an_error(text: str) -> None:
    parse_media_type(text)
