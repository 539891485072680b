# SPDX-License-Identifier: Apache-2.0
"""What is let in and what is not: every refusal with the smallest object that causes it, beside its legal neighbour."""

from pathlib import Path

import pytest

from harness.raw import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    UNDEFINED,
    body,
    element,
    head,
    implicit,
    implicit_body,
    item,
    part10,
    sequence,
)
from service.dicom.scan import Scanner
from service.domain.errors import AdmissionError
from service.domain.fault import Fault

SCANNER = Scanner()
CODES = 0x00081140  # Referenced Image Sequence
PIXELS = 0x7FE00010
AFTER = 0x7FE00000


def fault(path: Path, data_set: bytes, *, syntax: str = EXPLICIT, lenient: bool = False) -> Fault | None:
    """Return why the object is not let in; no message ever holds a value."""
    try:
        SCANNER.scan(part10(path / "object.dcm", data_set, syntax=syntax), lenient=lenient)
    except AdmissionError as error:
        message = str(error)
        assert "SECRET" not in message
        assert len(message) < 300
        assert "\n" not in message
        return error.fault
    return None


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = sequence(CODES, item(content))
    return content


def nested_open(depth: int) -> bytes:
    """Nesting whose ends are missing, as an attacker would write it."""
    return (element(CODES, "SQ", b"", length=UNDEFINED) + head(0xFFFEE000, UNDEFINED)) * depth


LEGAL = {
    "the smallest object": body(),
    "a sequence with a defined length": body(sequence(CODES, item(element(0x00081155, "UI", b"1.2\0"))), at=0x00090000),
    "a sequence with an undefined length": body(
        sequence(CODES, item(element(0x00081155, "UI", b"1.2\0"), length=UNDEFINED), undefined=True), at=0x00090000
    ),
    "an empty sequence": body(sequence(CODES, b""), at=0x00090000),
    "empty items": body(sequence(CODES, item() * 3), at=0x00090000),
    "sequences as deep as allowed": body(nested(32), at=0x00090000),
    "private elements": body(
        element(0x00090010, "LO", b"VENDOR") + element(0x00091001, "OB", bytes(70_000)), at=0x00100000
    ),
    "a private element without a known VR": body(element(0x00091001, "UN", bytes(16)), at=0x00100000),
    "an unknown sequence of undefined length": body(
        element(0x00091001, "UN", item(implicit(0x00080060, b"CT")) + head(0xFFFEE0DD, 0), length=UNDEFINED),
        at=0x00100000,
    ),
    "an identity passed on as UN": body(t00100020=("UN", b"SECRETID")),
    "a UID padded with a space": body(t00080018=("UI", b"1.2.3.4 ")),
    "an empty patient ID": body(t00100020=("LO", b"")),
    "no patient ID": body(t00100020=None),
    "a patient ID of 64 characters": body(t00100020=("LO", b"S" * 64)),
    "a name with an escape sequence": body(
        t00080005=("CS", b"\\ISO 2022 IR 87 "), t00100010=("PN", b"A=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B ")
    ),
    "a name whose Kanji hold the separator's byte": body(
        t00080005=("CS", b"\\ISO 2022 IR 87 "), t00100010=("PN", b"A=\x1b$B\x3b\x5c\x1b(B")
    ),
    "a patient ID whose Chinese letter holds the separator's byte": body(
        t00080005=("CS", b"GB18030 "), t00100020=("LO", "\u8a93".encode("gb18030") + "\u5179".encode("gb18030"))
    ),
    "eight character sets": body(t00080005=("CS", b"\\".join([b"ISO 2022 IR 100"] * 8) + b" ")),
    "native pixel data": body(element(PIXELS, "OW", bytes(8)), at=AFTER),
    "padding after the pixel data": body(
        element(PIXELS, "OW", bytes(8)) + element(0xFFFCFFFC, "OB", bytes(4)), at=AFTER
    ),
    "many values, fewer than the limit": body(element(0x00091001, "UC", b"1\\" * 199_999 + b"1 "), at=0x00100000),
    "a lookup table": body(element(0x00281201, "OW", bytes(131_072)), at=AFTER),
    "a private overlay before the pixels": body(element(0x60003000, "OW", bytes(300_000)), at=AFTER),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_legal_is_let_in(tmp_path: Path, name: str) -> None:
    for lenient in (False, True):
        assert fault(tmp_path, LEGAL[name], lenient=lenient) is None


FAULTS: dict[str, tuple[Fault, bytes]] = {
    "nothing": (Fault.IDENTITY, b""),
    "no SOP instance UID": (Fault.IDENTITY, body(t00080018=None)),
    "an element twice": (Fault.DUPLICATE_ELEMENT, body(element(0x00100020, "LO", b"OTHER "), at=0x0020000D)),
    "an element twice in an item": (
        Fault.DUPLICATE_ELEMENT,
        body(sequence(CODES, item(element(0x00081155, "UI", b"1.2\0") * 2)), at=0x00090000),
    ),
    "an identity out of order": (Fault.ELEMENT_ORDER, body(t00100020=None) + element(0x00100020, "LO", b"OTHER ")),
    "file meta information in the data set": (Fault.WRONG_GROUP, element(0x00020010, "UI", b"1.2\0") + body()),
    "a command element in the data set": (Fault.WRONG_GROUP, element(0x00000002, "UI", b"1.2\0") + body()),
    "group 2 in an item": (
        Fault.WRONG_GROUP,
        body(sequence(CODES, item(element(0x00020010, "UI", b"1.2\0"))), at=0x00090000),
    ),
    "a length past the end of the file": (Fault.TRUNCATED, body() + element(0x00204000, "LT", b"x", length=60_000)),
    "a length past the end of its item": (
        Fault.TRUNCATED,
        body(sequence(CODES, item(element(0x00081155, "UI", b"1.2\0", length=40))), at=0x00090000),
    ),
    "an item past the end of its sequence": (
        Fault.TRUNCATED,
        body(element(CODES, "SQ", item(bytes(8), length=200)), at=0x00090000),
    ),
    "a sequence past the end of the file": (
        Fault.TRUNCATED,
        body(at=0x0020000D) + element(CODES + 0x200000, "SQ", b"", length=1 << 20),
    ),
    "pixel data that claim nearly 4 GiB": (
        Fault.TRUNCATED,
        body(element(PIXELS, "OW", bytes(8), length=0xFFFFFFF0), at=AFTER),
    ),
    "half an element": (Fault.TRUNCATED, body() + b"\x28\x00\x10"),
    "a sequence without an end": (Fault.TRUNCATED, body() + element(0x00400275, "SQ", item(), length=UNDEFINED)),
    "an item without an end": (
        Fault.TRUNCATED,
        body()
        + element(0x00400275, "SQ", head(0xFFFEE000, UNDEFINED) + element(0x00400007, "LO", b"ab"), length=UNDEFINED),
    ),
    "a delimiter in the open": (Fault.DELIMITER, body() + head(0xFFFEE00D, 0)),
    "a sequence delimiter in the open": (Fault.DELIMITER, body() + head(0xFFFEE0DD, 0)),
    "an item in the open": (Fault.DELIMITER, body() + item(bytes(4))),
    "an item delimiter in an item of defined length": (
        Fault.DELIMITER,
        body(sequence(CODES, item(head(0xFFFEE00D, 0))), at=0x00090000),
    ),
    "an item delimiter with a length": (
        Fault.DELIMITER,
        body(
            element(
                CODES, "SQ", head(0xFFFEE000, UNDEFINED) + head(0xFFFEE00D, 4) + head(0xFFFEE0DD, 0), length=UNDEFINED
            ),
            at=0x00090000,
        ),
    ),
    "a sequence delimiter in a sequence of defined length": (
        Fault.DELIMITER,
        body(sequence(CODES, head(0xFFFEE0DD, 0)), at=0x00090000),
    ),
    "an element where an item belongs": (
        Fault.DELIMITER,
        body(sequence(CODES, element(0x00081155, "UI", b"1.2\0")), at=0x00090000),
    ),
    "undefined length of a text": (
        Fault.UNDEFINED_LENGTH,
        body() + element(0x00400031, "UT", bytes(8), length=UNDEFINED),
    ),
    "encapsulated pixels in a native transfer syntax": (
        Fault.UNDEFINED_LENGTH,
        body(element(PIXELS, "OB", item() + head(0xFFFEE0DD, 0), length=UNDEFINED), at=AFTER),
    ),
    "sequences deeper than 32": (Fault.TOO_DEEP, body(nested(33), at=0x00090000)),
    "20,000 open sequences": (Fault.TOO_DEEP, body(nested_open(20_000), at=0x00090000)),
    "a character set of Python": (Fault.CHARACTER_SET, body(t00080005=("CS", b"punycode"))),
    "a character set of Python in an item": (
        Fault.CHARACTER_SET,
        body(sequence(CODES, item(element(0x00080005, "CS", b"punycode"))), at=0x00090000),
    ),
    "nine character sets": (Fault.CHARACTER_SET, body(t00080005=("CS", b"\\".join([b"ISO 2022 IR 100"] * 9) + b" "))),
    "a patient ID as a sequence": (Fault.IDENTITY, body(t00100020=("SQ", b""))),
    "a patient ID as a number": (Fault.IDENTITY, body(t00100020=("US", b"\x41\x42"))),
    "a patient ID of 64 KB": (Fault.IDENTITY, body(t00100020=("UC", b"S" * 65_538))),
    "a patient ID of 65 characters": (Fault.IDENTITY, body(t00100020=("LO", b"S" * 66))),
    "an explicit object with implicit elements": (Fault.VALUE_REPRESENTATION, implicit_body()),
    "an unknown VR": (Fault.VALUE_REPRESENTATION, body() + element(0x00280010, "ZZ", b"\0\1")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_in_doubt_is_refused_in_every_mode(tmp_path: Path, name: str) -> None:
    expected, data_set = FAULTS[name]
    assert fault(tmp_path, data_set) is expected
    assert fault(tmp_path, data_set, lenient=True) is not None


@pytest.mark.parametrize("tag", ["t00100020", "t00080050", "t00100021"])
@pytest.mark.parametrize("value", [b"SECRET\\OTHER", b"SECRET\0X", b"SECRET\n", b"SECRET\x1b(BX ", b"SECRET\x7f\t"])
def test_a_doubtful_identity_is_refused(tmp_path: Path, tag: str, value: bytes) -> None:
    assert fault(tmp_path, body(**{tag: ("LO", value)}), lenient=True) is Fault.IDENTITY


@pytest.mark.parametrize("tag", ["t00080016", "t00080018", "t0020000D", "t0020000E"])
@pytest.mark.parametrize(
    "value",
    [b"../x", b"/abs/x", b"a\\b", b"1.2\0003", b"CON ", b"1.02.3", b"1.2.", b".1.2", b"1..2", b"1.2\n3 ", b"1", b"",
     b"1." + b"2" * 63, b"1.2\\1.3 ", b"\xd9\xa1.\xd9\xa2"],
)  # fmt: skip
def test_a_uid_outside_the_grammar_is_refused(tmp_path: Path, tag: str, value: bytes) -> None:
    assert fault(tmp_path, body(**{tag: ("UI", value)}), lenient=True) is Fault.IDENTITY


def test_a_name_has_one_value_and_no_control_characters(tmp_path: Path) -> None:
    assert fault(tmp_path, body(t00100010=("PN", b"SECRET\\OTHER"))) is Fault.IDENTITY
    assert fault(tmp_path, body(t00100010=("PN", b"SECRET\nOTHER"))) is Fault.IDENTITY


TOLERATED = {
    Fault.ODD_LENGTH: body(element(0x00090010, "LO", b"VENDOR1"), at=0x00100000),
    Fault.ELEMENT_ORDER: body() + element(0x00180050, "DS", b"1 "),
    Fault.VALUE_REPRESENTATION: body() + implicit(0x00280010, b"\0\1"),
    Fault.CHARACTER_SET: body(t00080005=("CS", b"ISO-IR 100")),
}


@pytest.mark.parametrize("expected", TOLERATED)
def test_a_lenient_peer_is_forgiven_what_reads_in_one_way_only(tmp_path: Path, expected: Fault) -> None:
    assert fault(tmp_path, TOLERATED[expected]) is expected
    assert fault(tmp_path, TOLERATED[expected], lenient=True) is None


def test_a_length_that_begins_like_a_vr_is_never_forgiven(tmp_path: Path) -> None:
    value = bytes(ord("B"))
    assert fault(tmp_path, body() + implicit(0x00280010, value), lenient=True) is Fault.VALUE_REPRESENTATION
    assert fault(tmp_path, body() + implicit(0x00280010, value[:64]), lenient=True) is None


def test_a_little_disorder_is_forgiven_and_no_more(tmp_path: Path) -> None:
    def disorder(pairs: int) -> bytes:
        numbers = (0x00091001 + 2 * pair for pair in range(pairs))
        return body(
            b"".join(element(number + 1, "US", b"\0\0") + element(number, "US", b"\0\0") for number in numbers),
            at=0x00100000,
        )

    assert fault(tmp_path, disorder(16), lenient=True) is None
    assert fault(tmp_path, disorder(17), lenient=True) is Fault.ELEMENT_ORDER
    twice = body(element(0x00091002, "US", b"\0\0") + element(0x00091001, "US", b"\0\0") * 2, at=0x00100000)
    assert fault(tmp_path, twice, lenient=True) is Fault.DUPLICATE_ELEMENT
    far = element(0x00091002, "US", b"\0\0") + element(0x00091001, "US", b"\0\0") + element(0x00091002, "US", b"\0\0")
    assert fault(tmp_path, body(far, at=0x00100000), lenient=True) is Fault.DUPLICATE_ELEMENT


def test_implicit_and_big_endian_are_walked_too(tmp_path: Path) -> None:
    assert fault(tmp_path, implicit_body(), syntax=IMPLICIT) is None
    assert fault(tmp_path, body(order=">"), syntax=BIG_ENDIAN) is None
    assert (
        fault(tmp_path, implicit_body(implicit(0x00100020, b"OTHER "), at=0x0020000D), syntax=IMPLICIT)
        is Fault.DUPLICATE_ELEMENT
    )
    deep = (implicit(CODES, b"", length=UNDEFINED) + head(0xFFFEE000, UNDEFINED)) * 400
    assert fault(tmp_path, implicit_body(deep, at=0x00090000), syntax=IMPLICIT) is Fault.TOO_DEEP
    private = (implicit(0x00091001, b"", length=UNDEFINED) + head(0xFFFEE000, UNDEFINED)) * 400
    assert fault(tmp_path, implicit_body(private, at=0x00100000), syntax=IMPLICIT) is Fault.TOO_DEEP
    pixels = implicit(PIXELS, item() + head(0xFFFEE0DD, 0), length=UNDEFINED)
    assert fault(tmp_path, implicit_body(pixels), syntax=IMPLICIT) is Fault.UNDEFINED_LENGTH


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_explicit_little_endian_under_another_name_is_refused(tmp_path: Path, syntax: str) -> None:
    assert fault(tmp_path, body(), syntax=syntax) is not None
    assert fault(tmp_path, body(), syntax=syntax, lenient=True) is not None


def test_fragments_are_walked_to_their_end(tmp_path: Path) -> None:
    def pixels(fragments: bytes) -> bytes:
        return body(element(PIXELS, "OB", fragments, length=UNDEFINED), at=AFTER)

    end = head(0xFFFEE0DD, 0)
    assert fault(tmp_path, pixels(item() + item(bytes(100_000)) + item(bytes(6)) + end), syntax=JPEG) is None
    trailing = element(0xFFFCFFFC, "OB", bytes(2))
    assert fault(tmp_path, pixels(item() + item(bytes(4)) + end) + trailing, syntax=JPEG) is None
    assert fault(tmp_path, pixels(item() + item(bytes(4))), syntax=JPEG) is Fault.TRUNCATED
    assert fault(tmp_path, pixels(item() + item(bytes(4), length=400)), syntax=JPEG) is Fault.TRUNCATED
    assert fault(tmp_path, pixels(item() + item(length=UNDEFINED) + end), syntax=JPEG) is Fault.TRUNCATED
    assert fault(tmp_path, pixels(item() + element(0x00100020, "LO", b"ab") + end), syntax=JPEG) is Fault.DELIMITER


def test_an_encapsulated_icon_is_walked_in_any_explicit_syntax(tmp_path: Path) -> None:
    icon = element(PIXELS, "OB", item() + item(bytes(10)) + head(0xFFFEE0DD, 0), length=UNDEFINED)
    assert fault(tmp_path, body(sequence(0x00880200, item(icon)), at=AFTER)) is None


def test_the_command_must_name_the_same_object(tmp_path: Path) -> None:
    path = part10(tmp_path / "object.dcm", body())
    right = ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4")
    assert SCANNER.scan(path, claimed=right)["SOPInstanceUID"] == "1.2.3.4"
    for wrong in (("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"), (right[0], "1.2.3.5")):
        with pytest.raises(AdmissionError) as caught:
            SCANNER.scan(path, claimed=wrong)
        assert caught.value.fault is Fault.UID_MISMATCH
        assert caught.value.study_instance_uid == "1.2.3"


def test_what_is_no_part_10_file_is_refused(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"no dicom", bytes(128) + b"DICM", bytes(200))):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(content)
        with pytest.raises(AdmissionError) as caught:
            SCANNER.scan(path)
        assert caught.value.fault is Fault.NOT_PART10


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95"])
def test_deflated_is_refused_before_it_inflates(tmp_path: Path, syntax: str) -> None:
    assert fault(tmp_path, body(), syntax=syntax) is Fault.TRANSFER_SYNTAX


def test_a_fault_says_where_it_lies(tmp_path: Path) -> None:
    path = part10(tmp_path / "object.dcm", body() + element(0x00204000, "LT", b"x", length=60_000))
    with pytest.raises(AdmissionError, match=r"\(0020,4000\) 'Image Comments' claims 60000 bytes") as caught:
        SCANNER.scan(path)
    assert path.read_bytes()[caught.value.offset :] == b"x"
