# SPDX-License-Identifier: Apache-2.0
"""Tables of the result objects as a whole: what there is, in which series, and in which character set."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.ports import ResultKind
from service.results.source.characters import KNOWN, _with_japanese, own_encodings
from service.settings.results import DEFAULT_OBJECTS, RESERVED, STATEMENTS
from tests.conformance.association import name
from tests.conformance.attributes import Group, groups
from tests.conformance.generated import explained, joined, table

WHEN: Mapping[Group, str] = MappingProxyType(
    {
        ("sr", "1.2.840.10008.5.1.4.1.1.88.34"): "the first form of the report, with `report_class: comprehensive3d`",
        ("sr", "1.2.840.10008.5.1.4.1.1.88.33"): "every result with a source image of known size: the report, TID 1500",
        ("sr", "1.2.840.10008.5.1.4.1.1.88.22"): "the report, where Comprehensive SR is not accepted",
        (
            "sr",
            "1.2.840.10008.5.1.4.1.1.88.11",
        ): "the report in words, where no other SR is accepted, or no source image has a known size",
        ("text", "1.2.840.10008.5.1.4.1.1.88.11"): "every result: a report in words, TID 2000",
        ("mammography_cad", "1.2.840.10008.5.1.4.1.1.88.50"): "every mammography result, TID 4000",
        ("chest_cad", "1.2.840.10008.5.1.4.1.1.88.65"): "every result of chest radiographs and lung CT, TID 4100",
        ("heatmap", "1.2.840.10008.5.1.4.1.1.7"): "every result: heatmaps, or one page that says NOT ANALYSED and why",
        ("presentation_state", "1.2.840.10008.5.1.4.1.1.11.1"): "every result on greyscale images of known size",
        ("segmentation", "1.2.840.10008.5.1.4.1.1.66.4"): "CT that was analysed: one object of the lungs, one of the "
        "reported patterns",
        ("segmentation", "1.2.840.10008.5.1.4.1.1.66.7"): "instead of the one above, with `label_maps: true`, where "
        "BINARY is not accepted",
        ("parametric_map", "1.2.840.10008.5.1.4.1.1.30"): "CT that was analysed",
        ("key_objects", "1.2.840.10008.5.1.4.1.1.88.59"): "a result that raises the study's priority; never any other",
        ("rejection_note", "1.2.840.10008.5.1.4.1.1.88.59"): "a later result of the same study, for destinations with "
        "`supersede: reject`",
        ("pdf", "1.2.840.10008.5.1.4.1.1.104.1"): "every result: the printed report",
    }
)


def objects() -> str:
    """Return the objects that are created, their SOP classes and series, and when each is made."""
    rows = [
        (
            name(group[1]),
            group[1],
            f"`{group[0]}`",
            joined(member.dataset.SeriesNumber for member in groups()[group]),
            joined(member.dataset.Modality for member in groups()[group]),
            _sent(group[0]),
            text,
        )
        for group, text in explained(WHEN, list(groups()), what="result objects")
    ]
    head = ("SOP class", "UID", "Kind, in `objects`", "Series number", "Modality", "Sent", "When it is made")
    return table(head, rows)


def _sent(kind: str) -> str:
    if kind in RESERVED:
        return "by `supersede`"
    by_default = "by default" if ResultKind(kind) in DEFAULT_OBJECTS else "where asked for"
    return f"{by_default}; says the outcome in words" if ResultKind(kind) in STATEMENTS else by_default


SOURCES: Sequence[tuple[str, tuple[str, ...], bytes]] = (
    ("none, all copied text in ASCII", (), b"Yamada^Tarou"),
    ("none, but bytes that are not ASCII", (), b"\x8eR"),
    ("`\\ISO 2022 IR 87`", ("", "ISO 2022 IR 87"), b"\x1b$B"),
    ("`ISO 2022 IR 13\\ISO 2022 IR 87`", ("ISO 2022 IR 13", "ISO 2022 IR 87"), b"\xcf\xcf"),
    ("`ISO_IR 192`", ("ISO_IR 192",), b"\xe5"),
    ("`GB18030`", ("GB18030",), b"\xc9"),
    ("`ISO_IR 100`, all copied text in ASCII", ("ISO_IR 100",), b"Muller"),
    ("`ISO_IR 100`", ("ISO_IR 100",), b"M\xfcller"),
    ("`ISO_IR 13`", ("ISO_IR 13",), b"\xcf\xcf"),
    ("`ISO 2022 IR 100\\ISO 2022 IR 144`", ("ISO 2022 IR 100", "ISO 2022 IR 144"), b"M\xfcller"),
    ("several, one of them unknown", ("ISO 2022 IR 100", "X"), b"M"),
    ("one that is unknown", ("X",), b"M"),
    ("`ISO_IR 100`, but escape sequences, which need code extensions", ("ISO_IR 100",), b"\x1b$B"),
)


def japanese() -> str:
    """Return what is declared in an object with Japanese text, by what the source declares."""
    rows = [(what, _declared(_with_japanese(declared, copied))) for what, declared, copied in SOURCES]
    return table(("Source", "Declared with Japanese text"), rows)


def _declared(character_set: tuple[str, ...] | None) -> str:
    if character_set is None:
        return "as the source: this object is in English, and says why"
    assert own_encodings(character_set), character_set
    return f"`{chr(92).join(character_set)}`"


def convertible() -> str:
    """Return the character sets from which text is converted to UTF-8."""
    return joined(f"`{each}`" for each in KNOWN if each) + "\n"
