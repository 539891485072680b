# SPDX-License-Identifier: Apache-2.0
"""A certificate authority in a folder, for tests of TLS on real sockets."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    parsed: x509.Certificate

    @property
    def sha256(self) -> str:
        return self.parsed.fingerprint(hashes.SHA256()).hex()


@dataclass
class Authority:
    """Issues and revokes certificates; `certificate` is its own."""

    folder: Path
    name: str = "Test Authority"
    revoked: list[x509.Certificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(self.name)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, self._key, ends=3650 * DAY).issuer_name(self._name)
        parsed = builder.add_extension(constraint, critical=True).sign(self._key, hashes.SHA256())
        self.certificate = self.folder / "authority.pem"
        self.certificate.write_bytes(parsed.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        dns: str | None = None,
        ends: timedelta = 365 * DAY,
        begins: timedelta = -2 * DAY,
        usage: tuple[x509.ObjectIdentifier, ...] = (CLIENT, SERVER),
        rsa_key: bool = False,
    ) -> Pair:
        key: Key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [x509.DNSName(dns or name)]
        if dns is None:
            alternatives.append(x509.IPAddress(ip_address("127.0.0.1")))
        parsed = (
            _builder(_name(name), key, ends=ends, begins=begins)
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key", parsed=parsed)
        pair.certificate.write_bytes(parsed.public_bytes(serialization.Encoding.PEM))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    def subordinate(self, name: str) -> "Authority":
        """Return an authority that this one vouches for."""
        made = Authority(self.folder / name, name=name)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(made._name, made._key, ends=365 * DAY).issuer_name(self._name)
        parsed = builder.add_extension(constraint, critical=True).sign(self._key, hashes.SHA256())
        made.certificate.write_bytes(parsed.public_bytes(serialization.Encoding.PEM))
        return made

    def revocation_list(self, *pairs: Pair, ends: timedelta = 30 * DAY) -> Path:
        """Write the list of these certificates; it replaces an earlier one at once."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - 2 * DAY)
            .next_update(now + ends)
        )
        for pair in pairs:
            entry = x509.RevokedCertificateBuilder().serial_number(pair.parsed.serial_number).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        path = self.folder / "revoked.pem"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        fresh.replace(path)
        return path


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, key: Key, *, ends: timedelta, begins: timedelta = -2 * DAY) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
