# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures over a package's digest: who answers for it, under which of the site's keys, until when.

SIGNATURES.json lies beside the manifest and is no part of the digest, so that a signature changes no result. A key is
named by the SHA-256 of its 32 bytes (RFC 8032); keys are PEM files, as `openssl genpkey -algorithm ed25519` makes.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from service.domain.errors import ConfigurationError, PackageError
from service.domain.result import PackageIdentity, PackageStatus
from service.inference.manifest_types import Digest, Strict

PrivateKey = Ed25519PrivateKey
SIGNATURES_MAX_BYTES: Final = 1 << 16
MAX_SIGNATURES: Final = 16
KEY_MAX_BYTES: Final = 1 << 14
_PURPOSE: Final = "dokuei model package, signature 1\n"
SIGNED_STATUSES: Final = frozenset((PackageStatus.SITE_VALIDATED, PackageStatus.APPROVED))
"""Statuses that let a package raise priorities: somebody known must stand for them, whatever the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePolicy:
    """Whether every package must be signed, and the public keys (PEM files) whose signatures count."""

    required: bool = False
    keys: tuple[Path, ...] = ()


UNSIGNED_ALLOWED: Final = SignaturePolicy()


class Signature(Strict):
    """One signature; `key` names the key, `value` is the signature (RFC 8032) in hex."""

    key: Digest
    signed_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class SignatureFile(Strict):
    """Content of SIGNATURES.json."""

    format: Literal[1]
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=MAX_SIGNATURES)]


def key_id(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the key's 32 bytes, in hex."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The site's keys whose signatures are valid, and why each other signature does not count."""

    signers: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def verify_signatures(
    data: bytes, identity: PackageIdentity, *, policy: SignaturePolicy, now: datetime, where: str
) -> Verdict:
    """Say which of the site's keys have signed this package, with signatures that have not expired.

    A signature by an unknown key proves nothing and harms nothing; one that claims to be of a known key and is not, is
    refused whatever the policy.

    Raises
    ------
    PackageError
        SIGNATURES.json is malformed or forged.
    ConfigurationError
        A key file of the policy cannot be used.
    """
    entries = parse_signatures(data, where=where) if data else ()
    keys = {key_id(key): key for key in map(load_public_key, policy.keys)}
    valid, doubts = [], []
    for entry in entries:
        key = keys.get(entry.key)
        if key is None:
            doubts.append(f"key {entry.key[:16]} is not among inference.signatures.keys")
            continue
        _verify(entry, key, identity, where=where)
        if entry.expires_at is not None and entry.expires_at <= now:
            doubts.append(f"the signature by key {entry.key[:16]} expired on {entry.expires_at:%Y-%m-%d}")
            continue
        valid.append(entry.key)
    return Verdict(signers=tuple(dict.fromkeys(valid)), doubts=tuple(doubts))


def require_signature(verdict: Verdict, identity: PackageIdentity, *, policy: SignaturePolicy, where: str) -> None:
    """Refuse a package without a valid signature where the site's policy or the package's status needs one.

    Raises
    ------
    PackageError
        Why no signature counts.
    """
    needed = policy.required or identity.status in SIGNED_STATUSES
    if verdict.signers or not needed:
        return
    who = "this site requires" if policy.required else f"status {identity.status} needs"
    found = "; ".join(verdict.doubts) or "the package is not signed"
    raise PackageError(
        f"{where}: {who} a signature by one of inference.signatures.keys, but {found}; have the package signed "
        "('dokuei models sign'), or add the key if the site trusts it"
    )


def parse_signatures(data: bytes, *, where: str) -> tuple[Signature, ...]:
    """Return the entries of SIGNATURES.json.

    Raises
    ------
    PackageError
        It is not of format 1.
    """
    if len(data) > SIGNATURES_MAX_BYTES:
        raise PackageError(f"{where}: {len(data)} bytes; at most {SIGNATURES_MAX_BYTES} are allowed")
    try:
        return SignatureFile.model_validate_json(data).signatures
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise PackageError(f"{where}: {key}: {first['msg']}; sign the package again") from None


def _verify(entry: Signature, key: Ed25519PublicKey, identity: PackageIdentity, *, where: str) -> None:
    statement = _statement(identity, entry.model_dump(mode="json", exclude={"value"}))
    try:
        key.verify(bytes.fromhex(entry.value), statement)
    except InvalidSignature:
        raise PackageError(
            f"{where}: the signature by key {entry.key[:16]} is not over this package (digest {identity.sha256[:16]}); "
            "the package or the signature was altered: get it again from its maker"
        ) from None


def _statement(identity: PackageIdentity, entry: Mapping[str, Any]) -> bytes:
    """Return what is signed: the package and the signature's own dates, so that neither can be changed."""
    content = {
        "name": identity.name,
        "version": identity.version,
        "status": identity.status.value,
        "sha256": identity.sha256,
        **entry,
    }
    return (_PURPOSE + json.dumps(content, sort_keys=True, separators=(",", ":"))).encode()


def add_signature(
    data: bytes, identity: PackageIdentity, *, key: Ed25519PrivateKey, now: datetime, expires_at: datetime | None
) -> bytes:
    """Return the content of SIGNATURES.json with one more signature; an earlier one by the same key is replaced."""
    name = key_id(key.public_key())
    unsigned = Signature(key=name, signed_at=now, expires_at=expires_at, value="0" * 128)
    fields = unsigned.model_dump(mode="json", exclude={"value"})
    signed = unsigned.model_copy(update={"value": key.sign(_statement(identity, fields)).hex()})
    earlier = parse_signatures(data, where="SIGNATURES.json") if data else ()
    kept = [entry for entry in earlier if entry.key != name]
    file = SignatureFile(format=1, signatures=(*kept, signed))
    return (file.model_dump_json(indent=2) + "\n").encode()


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key from a PEM file.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or holds no Ed25519 public key.
    """
    data = _read_key(path)
    with suppress(ValueError, UnsupportedAlgorithm):
        key = serialization.load_pem_public_key(data)
        if isinstance(key, Ed25519PublicKey):
            return key
    raise ConfigurationError(
        f"{path}: is no Ed25519 public key in PEM; 'openssl pkey -in PRIVATE -pubout -out {path.name}' writes one"
    )


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key without passphrase from a PEM file that only its owner and group can read.

    Raises
    ------
    ConfigurationError
        The file cannot be read, can be read by everybody, or holds no Ed25519 private key.
    """
    data = _read_key(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o007:
        raise ConfigurationError(f"{path}: everybody may read this private key (mode {mode:04o}); chmod 600 it")
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(data, password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    raise ConfigurationError(
        f"{path}: is no Ed25519 private key in PEM without a passphrase; "
        f"'openssl genpkey -algorithm ed25519 -out {path.name}' makes one"
    )


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(KEY_MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: the key cannot be read ({error.strerror}); put a PEM file there that this user may read, or "
            "correct the path"
        ) from None
