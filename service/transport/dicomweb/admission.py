# SPDX-License-Identifier: Apache-2.0
"""Decides which peer sends a request: its address and every proof that config.yaml asks of it must fit."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.domain.errors import ConfigurationError
from service.settings import PeerSettings, Permission
from service.transport.admission import CertificateIdentity, plain_address, shows_certificate

TOKEN_LENGTH = 16
"""A token that is shorter can be guessed; an empty file must never let anybody in."""


class WebRejection(StrEnum):
    """Why a request was refused; the value is the metric label."""

    ADDRESS = "address"
    CREDENTIALS = "credentials"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebCaller:
    """What a client shows of itself: the Authorization header and a verified certificate; and where it really is."""

    address: str
    authorization: str
    certificate: CertificateIdentity | None = None


def find_web_peer(peers: Sequence[PeerSettings], caller: WebCaller) -> PeerSettings | WebRejection:
    """Return the peer that the caller is, or why it is none."""
    address = plain_address(caller.address)
    near = [peer for peer in peers if _may_send(peer) and any(address in network for network in peer.address)]
    if not near:
        return WebRejection.ADDRESS
    return next((peer for peer in near if _proves(peer, caller)), WebRejection.CREDENTIALS)


def read_token(peer: PeerSettings) -> str:
    """Return the peer's token; it is read at each request, so that it can be changed while the node runs.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or holds no token.
    """
    path = peer.token_file
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"peers: {peer.name!r} needs its token_file {path}: {type(error).__name__}; write the token into it"
        ) from error
    if len(token) < TOKEN_LENGTH or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"peers: {peer.name!r}: token_file {path} must hold one line of {TOKEN_LENGTH} or more characters without "
            "blanks; 'openssl rand -hex 32' makes one"
        )
    return token


def _may_send(peer: PeerSettings) -> bool:
    return peer.sends_over_dicomweb and Permission.STORE in peer.may


def _proves(peer: PeerSettings, caller: WebCaller) -> bool:
    return shows_certificate(peer, caller.certificate) and _shows_token(peer, caller.authorization)


def _shows_token(peer: PeerSettings, authorization: str) -> bool:
    if peer.token_file is None:
        return True
    scheme, _, shown = authorization.partition(" ")
    try:
        token = read_token(peer)
    except ConfigurationError:
        return False  # `start` refuses such a file; one that was broken since lets nobody in
    same = hmac.compare_digest(_digest(shown.strip()), _digest(token))
    return scheme.lower() == "bearer" and same


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
