# SPDX-License-Identifier: Apache-2.0
"""Who is let in and how it is proved: TLS on both sides, what a peer may do, and where audit messages go.

Keys are files, never values: config.yaml can then be read by everybody who helps.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.settings.base import Port, Section, Timeout

TLS_PORT = 2762
"""dicom-tls (PS3.15 B.12)."""
SYSLOG_TLS_PORT = 6514
"""syslog over TLS (RFC 5425 section 4.1)."""
HEX_DIGITS = frozenset("0123456789abcdef")


def _check_fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if len(digits) != 64 or not set(digits) <= HEX_DIGITS:
        raise ValueError(
            "a fingerprint is the SHA-256 of the certificate, 64 hex digits (colons may stand between); "
            "'openssl x509 -noout -fingerprint -sha256 -in FILE' prints it"
        )
    return digits


Fingerprint = Annotated[str, AfterValidator(_check_fingerprint)]
"""SHA-256 of a certificate, as 64 lower-case hex digits."""
CertificateName = Annotated[str, Field(min_length=1, max_length=253)]
TlsVersion = Literal["1.2", "1.3"]


class Permission(StrEnum):
    """What a peer may be let do; C-ECHO needs none."""

    STORE = "store"
    COMMIT = "commit"
    QUERY = "query"


class TlsServerSettings(Section):
    """DICOM over TLS: our certificate, and whose certificates are trusted. PEM files."""

    port: Port = TLS_PORT
    certificate: Path
    """Our certificate, followed by the intermediate ones."""
    key: Path
    """Its private key, without a passphrase; readable by the owner and the group at most (mode 0640)."""
    trusted: Path | None = None
    """The authorities whose certificates peers may show."""
    revoked: Path | None = None
    """The revocation lists (CRL) of the authorities that issue peers' certificates, in one file."""
    require_client_certificate: bool = True
    minimum_version: TlsVersion = "1.2"
    handshake_seconds: Timeout = 5

    @model_validator(mode="after")
    def _can_verify(self) -> Self:
        if self.require_client_certificate and self.trusted is None:
            raise ValueError(
                "client certificates are required, but nobody is trusted; give 'trusted', the file of the authorities "
                "that issue them"
            )
        return self


class TlsClientSettings(Section):
    """TLS to another system: who is trusted to name it, and what we show. PEM files."""

    trusted: Path
    """The authorities that may name the other system."""
    revoked: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = Field(default=None, min_length=1, max_length=253)
    """The name that its certificate must bear; `host` when absent."""
    minimum_version: TlsVersion = "1.2"

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("'certificate' and 'key' belong together; give both or neither")
        return self


class AuditSettings(Section):
    """Where audit messages go (PS3.15 A.5) as syslog over TLS (PS3.15 A.6, RFC 5425)."""

    host: str
    port: Port = SYSLOG_TLS_PORT
    tls: TlsClientSettings
    enterprise_site_id: str = Field(default="", max_length=64)
    """Where this node stands: Audit Enterprise Site ID."""
    source_id: str = Field(default="", max_length=64)
    """Which node this is: Audit Source ID; the AE title when empty."""
    max_pending: int = Field(default=200_000, ge=1_000, le=10_000_000)
    """So many messages wait on disk for a collector that is down; then the oldest are dropped, counted and alarmed."""
    timeout_seconds: Timeout = 10
