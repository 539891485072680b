# SPDX-License-Identifier: Apache-2.0
"""Certificates, keys and revocation lists as files: may they be used, what do they say, and until when."""

import hashlib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from service.domain.errors import ConfigurationError
from service.settings import TlsClientSettings, TlsServerSettings
from service.transport.admission import CertificateIdentity

KEY_MODE = 0o640
"""A private key is readable by its owner and one group, and nobody else."""
WARNING_DAYS = 30
ALARM_DAYS = 7

FileState = tuple[tuple[str, int, int, int], ...]


def file_state(paths: Iterable[Path | None]) -> FileState:
    """Return what changes when any of the files is replaced or written; a missing file counts as a state too."""
    return tuple(_state(path) for path in paths if path is not None)


def check_key(key: Path) -> None:
    """Refuse a private key that others can read.

    Raises
    ------
    ConfigurationError
        With the file, its mode and the command that mends it.
    """
    try:
        mode = key.stat().st_mode & 0o777
    except OSError as error:
        raise ConfigurationError(f"key {key} cannot be read: {error.strerror}") from error
    if mode & ~KEY_MODE:
        raise ConfigurationError(
            f"key {key} has mode {mode:04o}, so that others may read or change it; at most {KEY_MODE:04o} is accepted: "
            f"chmod {KEY_MODE:04o} {key}"
        )


def expires_at(certificate: Path) -> float:
    """Return when the first certificate of a file ends, in seconds since the epoch; see `_parsed` for errors."""
    return _certificates(certificate)[0].not_valid_after_utc.timestamp()


def revocation_expires_at(revoked: Path) -> float:
    """Return when the first revocation list of a file becomes too old to be believed; infinite without such a date."""
    return min((_next_update(found) for found in _revocation_lists(revoked)), default=float("inf"))


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a DER certificate, as hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def peer_identity(connection: ssl.SSLSocket) -> CertificateIdentity | None:
    """Return whom the peer's certificate names; None when it showed none that was verified."""
    encoded, parsed = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not encoded or not parsed:
        return None
    return CertificateIdentity(sha256=fingerprint(encoded), names=tuple(_names(parsed)))


def chain_problem(certificate: Path) -> str:
    """Return what is wrong with the order of the certificates in a file; "" when each is issued by the next."""
    chain = _certificates(certificate)
    for place, (issued, issuer) in enumerate(pairwise(chain), start=1):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return (
                f"certificate {certificate}: number {place} in the file is not issued by number {place + 1}; put ours "
                "first, then its issuer's, and so on"
            )
    return ""


def certificate_problems(settings: TlsServerSettings | TlsClientSettings, *, now: datetime) -> Iterator[str]:
    """Yield what will go wrong soon with the files: certificates and revocation lists that end within 30 days."""
    if settings.certificate is not None:
        yield from _ending(f"certificate {settings.certificate}", expires_at(settings.certificate), now)
    if settings.revoked is not None:
        yield from _ending(f"revocation list {settings.revoked}", revocation_expires_at(settings.revoked), now)


def _ending(what: str, at: float, now: datetime) -> Iterator[str]:
    if at == float("inf"):
        return
    end = datetime.fromtimestamp(at, UTC)
    left = end - now
    if left > timedelta(days=WARNING_DAYS):
        return
    urgency = "put a new one there NOW" if left < timedelta(days=ALARM_DAYS) else "order a new one"
    when = "ended" if left <= timedelta(0) else f"ends in {left.days} days,"
    yield f"{what} {when} on {end:%Y-%m-%d %H:%M} UTC; {urgency}"


def _names(parsed: Mapping[str, object]) -> Iterator[str]:
    alternatives = parsed.get("subjectAltName", ())
    for _kind, name in alternatives if isinstance(alternatives, tuple) else ():
        yield str(name)
    subject = parsed.get("subject", ())
    for relative in subject if isinstance(subject, tuple) else ():
        yield from (str(value) for kind, value in relative if kind == "commonName")


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"certificate {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"certificate {path} is not PEM ('-----BEGIN CERTIFICATE-----')") from error


END_OF_LIST = b"-----END X509 CRL-----"


def _revocation_lists(path: Path) -> list[x509.CertificateRevocationList]:
    try:
        blocks = path.read_bytes().split(END_OF_LIST)[:-1]
        return [x509.load_pem_x509_crl(block + END_OF_LIST) for block in blocks]
    except OSError as error:
        raise ConfigurationError(f"revocation list {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"revocation list {path} is not PEM ('-----BEGIN X509 CRL-----')") from error


def _next_update(found: x509.CertificateRevocationList) -> float:
    end = found.next_update_utc
    return end.timestamp() if end else float("inf")


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_ctime_ns, found.st_size, found.st_ino)
