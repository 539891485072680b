# SPDX-License-Identifier: Apache-2.0
"""Decides which peer opens an association and what it may do: AE title, address and certificate must be one peer's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from service.settings import PeerSettings, Permission
from service.transport.sop_classes import STORAGE_COMMITMENT, VERIFICATION
from service.transport.statuses import Rejection

STRANGER = "other"
"""The name of every peer that config.yaml does not list; an AE title as a metric label could grow without bound."""
QUERY_RETRIEVE = "1.2.840.10008.5.1.4.1.2."
"""The root of the Query/Retrieve SOP classes (PS3.4 annex C)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentity:
    """Who a verified TLS certificate says that the peer is.

    `sha256` is the digest of the certificate (64 hex digits), `names` its subject alternative names and common names.
    """

    sha256: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a peer says of itself in A-ASSOCIATE-RQ, where it really is, and the certificate that it proved to have."""

    calling_ae: str
    called_ae: str
    address: str
    certificate: CertificateIdentity | None = None


def find_peer(peers: Sequence[PeerSettings], caller: Caller) -> PeerSettings | None:
    """Return the peer that the caller is; None for a stranger."""
    return next((peer for peer in _at_its_address(peers, caller) if shows_certificate(peer, caller.certificate)), None)


def rejection(peers: Sequence[PeerSettings], caller: Caller, *, ae_title: str) -> Rejection | None:
    """Return why the caller may not open an association; None when it may."""
    if caller.called_ae.strip() != ae_title:
        return Rejection.CALLED_AE
    if find_peer(peers, caller) is not None:
        return None
    if _at_its_address(peers, caller):
        return Rejection.CERTIFICATE
    return Rejection.ADDRESS if _by_title(peers, caller) else Rejection.CALLING_AE


def permissions(peers: Sequence[PeerSettings], caller: Caller) -> frozenset[Permission]:
    """Return what the caller may do beside C-ECHO; nothing for a stranger."""
    peer = find_peer(peers, caller)
    return frozenset(peer.may) if peer else frozenset()


def needed_permission(sop_class_uid: str) -> Permission | None:
    """Return what a peer needs to use a SOP class; None for Verification, which every known peer may use."""
    if sop_class_uid == VERIFICATION:
        return None
    if sop_class_uid == STORAGE_COMMITMENT:
        return Permission.COMMIT
    return Permission.QUERY if sop_class_uid.startswith(QUERY_RETRIEVE) else Permission.STORE


def permitted(sop_class_uids: Iterable[str], may: Iterable[Permission]) -> tuple[str, ...]:
    """Return the SOP classes that a peer who may do this is offered, in their order."""
    allowed = {None, *may}
    return tuple(uid for uid in sop_class_uids if needed_permission(uid) in allowed)


def plain_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address as peers are configured by: IPv4 also when it came in mapped into IPv6."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _by_title(peers: Sequence[PeerSettings], caller: Caller) -> list[PeerSettings]:
    return [peer for peer in peers if peer.ae_title == caller.calling_ae.strip()]


def _at_its_address(peers: Sequence[PeerSettings], caller: Caller) -> list[PeerSettings]:
    named = _by_title(peers, caller)
    if not named:
        return []
    address = plain_address(caller.address)
    return [peer for peer in named if any(address in network for network in peer.address)]


def shows_certificate(peer: PeerSettings, shown: CertificateIdentity | None) -> bool:
    """Whether a caller proved to have the certificate that the peer is configured with, if it is with any."""
    if not peer.pins_certificate:
        return True
    if shown is None or (peer.certificate_sha256 and shown.sha256 not in peer.certificate_sha256):
        return False
    names = {name.casefold() for name in shown.names}
    return peer.certificate_name is None or peer.certificate_name.casefold() in names
