# SPDX-License-Identifier: Apache-2.0
"""Decides which peer opens an association: AE title and address must both be those of one configured peer."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from service.settings import PeerSettings
from service.transport.statuses import Rejection

STRANGER = "other"
"""The name of every peer that config.yaml does not list; an AE title as a metric label could grow without bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a peer says of itself in A-ASSOCIATE-RQ, and where it really is."""

    calling_ae: str
    called_ae: str
    address: str


def find_peer(peers: Sequence[PeerSettings], caller: Caller) -> PeerSettings | None:
    """Return the peer that the caller is; None for a stranger."""
    address = plain_address(caller.address)
    return next((peer for peer in _by_title(peers, caller) if address in peer.address), None)


def rejection(peers: Sequence[PeerSettings], caller: Caller, *, ae_title: str) -> Rejection | None:
    """Return why the caller may not open an association; None when it may."""
    if caller.called_ae.strip() != ae_title:
        return Rejection.CALLED_AE
    if find_peer(peers, caller) is not None:
        return None
    return Rejection.ADDRESS if _by_title(peers, caller) else Rejection.CALLING_AE


def plain_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address as peers are configured by: IPv4 also when it came in mapped into IPv6."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _by_title(peers: Sequence[PeerSettings], caller: Caller) -> list[PeerSettings]:
    return [peer for peer in peers if peer.ae_title == caller.calling_ae.strip()]
