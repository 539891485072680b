# SPDX-License-Identifier: Apache-2.0
"""Which elements a scan keeps: a tree over the dotted keywords, looked up by tag."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

CHARACTER_SET = 0x00080005
UIDS = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
"""SOP Class, SOP Instance, Study Instance and Series Instance UID: every composite object has them (PS3.3 A.1)."""
TEXTS = (0x00080050, 0x00100010, 0x00100020, 0x00100021)
"""Accession Number, Patient's Name, Patient ID and Issuer of Patient ID."""
IDENTITY = frozenset(UIDS + TEXTS)
SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
"""All standard sequences: in implicit VR nothing else tells one of defined length."""


@dataclass(slots=True)
class Wanted:
    """An element to keep: its value under `keyword`, or below it the elements `members` of every item."""

    vr: str = "UN"
    keyword: str = ""
    identity: bool = False
    members: "dict[int, Wanted]" = field(default_factory=dict)


NOTHING: dict[int, Wanted] = {CHARACTER_SET: Wanted(vr="CS")}
"""Even where nothing is wanted, the character set is looked at."""


def wanted_tree(keywords: Iterable[str]) -> dict[int, Wanted]:
    """Return the tree of the keywords; raises KeyError for one that PS3.6 does not have."""
    root = {tag: Wanted(vr=dictionary_VR(tag), identity=True) for tag in IDENTITY}
    for keyword in keywords:
        _add(root, keyword)
    return {**NOTHING, **root}


def _add(members: dict[int, Wanted], keyword: str) -> None:
    node = Wanted()
    for part in keyword.split("."):
        tag = tag_for_keyword(part)
        if tag is None:
            raise KeyError(f"no DICOM keyword (PS3.6): {keyword}")
        node = members.setdefault(tag, Wanted(vr=dictionary_VR(tag)))
        members = node.members
        members.update({} if members else NOTHING)
    node.keyword = keyword
