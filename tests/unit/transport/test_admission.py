# SPDX-License-Identifier: Apache-2.0
"""Who may open an association."""

import pytest

from service.ports import StoreOutcome
from service.settings import PeerSettings, Permission
from service.transport.admission import (
    Caller,
    CertificateIdentity,
    find_peer,
    permissions,
    permitted,
    plain_address,
    rejection,
)
from service.transport.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, INPUT_SOP_CLASSES, accepted_contexts
from service.transport.statuses import REJECTION, STORE_STATUS, Rejection

PEERS = [
    PeerSettings.model_validate({"name": "ct-a", "ae_title": "CT", "address": "10.0.0.5"}),
    PeerSettings.model_validate({"name": "ct-b", "ae_title": "CT", "address": "10.1.0.0/24"}),
    PeerSettings.model_validate({"name": "pacs", "ae_title": "PACS", "address": "fd00::/64"}),
]


def caller(calling: str = "CT", address: str = "10.0.0.5", called: str = "DOKUEI") -> Caller:
    return Caller(calling_ae=calling, called_ae=called, address=address)


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (caller(), None),
        (caller(calling="CT  "), None),
        (caller(address="10.1.0.77"), None),
        (caller(address="::ffff:10.0.0.5"), None),
        (caller(calling="PACS", address="fd00::1%eth0"), None),
        (caller(address="10.0.0.6"), Rejection.ADDRESS),
        (caller(calling="PACS"), Rejection.ADDRESS),
        (caller(calling="ct"), Rejection.CALLING_AE),
        (caller(calling=""), Rejection.CALLING_AE),
        (caller(called="dokuei"), Rejection.CALLED_AE),
        (caller(called=""), Rejection.CALLED_AE),
    ],
)
def test_title_and_address_must_both_be_those_of_one_peer(who: Caller, expected: Rejection | None) -> None:
    assert rejection(PEERS, who, ae_title="DOKUEI") == expected


def test_one_title_at_two_addresses_is_two_peers() -> None:
    names = [peer.name for peer in (find_peer(PEERS, caller(address=a)) for a in ("10.0.0.5", "10.1.0.9")) if peer]
    assert names == ["ct-a", "ct-b"]


def test_nobody_is_admitted_without_peers() -> None:
    assert rejection([], caller(), ae_title="DOKUEI") == Rejection.CALLING_AE


def test_mapped_addresses_are_plain_ones() -> None:
    assert str(plain_address("::ffff:192.0.2.1")) == "192.0.2.1"


def test_every_outcome_has_a_status_and_every_rejection_a_reason() -> None:
    assert set(STORE_STATUS) == set(StoreOutcome)
    assert set(REJECTION) == set(Rejection)


def test_explicit_vr_is_chosen_before_others_and_every_class_is_taken() -> None:
    verification, *storage = accepted_contexts(INPUT_SOP_CLASSES, ["1.2.840.10008.1.2", EXPLICIT_VR_LITTLE_ENDIAN])
    assert verification.abstract_syntax == "1.2.840.10008.1.1"
    assert [context.abstract_syntax for context in storage] == list(INPUT_SOP_CLASSES)
    assert storage[0].transfer_syntax == [EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2"]


FINGERPRINT = "ab" * 32
PINNED = [
    PeerSettings.model_validate(
        {
            "name": "ct-tls",
            "ae_title": "CT",
            "address": ["10.0.0.5", "10.9.0.0/16"],
            "certificate_sha256": FINGERPRINT.upper(),
            "certificate_name": "ct.Hospital.example",
            "may": ["store"],
        }
    )
]


def shown(sha256: str = FINGERPRINT, *names: str) -> CertificateIdentity:
    return CertificateIdentity(sha256=sha256, names=names)


@pytest.mark.parametrize(
    ("certificate", "address", "expected"),
    [
        (shown(FINGERPRINT, "x", "CT.hospital.example"), "10.0.0.5", None),
        (shown(FINGERPRINT, "CT.hospital.example"), "10.9.1.1", None),
        (shown(FINGERPRINT, "CT.hospital.example"), "10.8.1.1", Rejection.ADDRESS),
        (shown("cd" * 32, "CT.hospital.example"), "10.0.0.5", Rejection.CERTIFICATE),
        (shown(FINGERPRINT, "mr.hospital.example"), "10.0.0.5", Rejection.CERTIFICATE),
        (shown(FINGERPRINT), "10.0.0.5", Rejection.CERTIFICATE),
        (None, "10.0.0.5", Rejection.CERTIFICATE),
    ],
)
def test_title_address_and_certificate_must_all_match_when_given(
    certificate: CertificateIdentity | None, address: str, expected: Rejection | None
) -> None:
    who = Caller(calling_ae="CT", called_ae="DOKUEI", address=address, certificate=certificate)
    assert rejection(PINNED, who, ae_title="DOKUEI") == expected
    assert permissions(PINNED, who) == (frozenset() if expected else {Permission.STORE})


def test_one_title_with_two_certificates_is_two_peers() -> None:
    other = PINNED[0].model_copy(update={"name": "ct-new", "certificate_sha256": ("cd" * 32,)})
    who = Caller(
        calling_ae="CT", called_ae="DOKUEI", address="10.0.0.5", certificate=shown("cd" * 32, "ct.hospital.example")
    )
    found = find_peer([*PINNED, other], who)
    assert found is not None
    assert found.name == "ct-new"


def test_a_peer_is_offered_what_it_may_use_alone() -> None:
    offered = ("1.2.840.10008.1.1", INPUT_SOP_CLASSES[0], "1.2.840.10008.1.20.1", "1.2.840.10008.5.1.4.1.2.2.1")
    assert permitted(offered, PEERS[0].may) == offered[:3]
    assert permitted(offered, [Permission.QUERY]) == (offered[0], offered[3])
    assert permitted(offered, []) == offered[:1]
