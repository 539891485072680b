# SPDX-License-Identifier: Apache-2.0
"""Membership of context groups (PS3.16 annex B), from the tables that pydicom carries, and what we add to them."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from service.codes import Code, code, private, sct

Member = tuple[str, str]
"""(scheme, value)."""

OPACITY, LUCENCY, TEXTURE = "112033", "112062", "112064"
"""Values of CID 6101 that our additions to CID 6102 modify."""

ADDED_CHEST_MODIFIERS: Mapping[Code, str] = MappingProxyType(
    {
        sct("95436008"): OPACITY,
        sct("233703007"): TEXTURE,
        sct("12295008"): LUCENCY,
        sct("19325002"): LUCENCY,
        sct("87433001"): LUCENCY,
        sct("68328006"): LUCENCY,
        sct("31898008"): LUCENCY,
        sct("4981000"): LUCENCY,
        sct("51615001"): TEXTURE,
        private("DLD-CYST"): LUCENCY,
        private("DLD-CLN"): OPACITY,
        private("DLD-BVB"): TEXTURE,
        private("DLD-CRAZY"): TEXTURE,
        code("RADLEX", "RID43256"): TEXTURE,
    }
)
"""Findings of lung CT for which CID 6102, an extensible group, has no code, and the finding that each one modifies."""

ADDED: Mapping[int, frozenset[Member]] = MappingProxyType(
    {
        6102: frozenset((added.scheme, added.value) for added in ADDED_CHEST_MODIFIERS),
        5000: frozenset({("RFC5646", "en"), ("RFC5646", "ja")}),
    }
)
"""What we may use beside the standard's own members; CID 5000 is every language tag of RFC 5646, we write two."""

IN_NO_TABLE = frozenset({5000})
"""Groups that have no list of members in the standard."""


@cache
def members(cid: int) -> frozenset[Member]:
    """Return the codes that may be used where the context group is asked for; KeyError for an unknown group."""
    added = ADDED.get(cid, frozenset())
    return added if cid in IN_NO_TABLE else added | frozenset(_standard(cid))


def is_member(value: Code, cid: int) -> bool:
    """Say whether the code may be used where the context group is asked for."""
    return (value.scheme, value.value) in members(cid)


def as_member(scheme: str, value: str, cid: int) -> Code | None:
    """Return the group's own form of a code, which may come in the retired scheme SRT; None when it is no member."""
    sought = StandardCode(value=value, scheme_designator=scheme, meaning="")
    for member in _group(cid).values():
        if member == sought:
            return Code(value=member.value, scheme=member.scheme_designator, meaning=member.meaning)
    return None


def _standard(cid: int) -> set[Member]:
    return {(member.scheme_designator, member.value) for member in _group(cid).values()}


@cache
def _group(cid: int) -> dict[str, StandardCode]:
    try:
        group: dict[str, StandardCode] = getattr(codes, f"CID{cid}").concepts
    except AttributeError:
        raise KeyError(f"context group CID {cid} is not in pydicom's tables; name one of PS3.16 annex B") from None
    return group
