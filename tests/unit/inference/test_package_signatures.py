# SPDX-License-Identifier: Apache-2.0
"""Signatures say who answers for a package: by which keys, over exactly these bytes, until when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.domain.errors import ConfigurationError, PackageError
from service.inference.package_files import read_package
from service.inference.signature import (
    SignaturePolicy,
    add_signature,
    key_id,
    load_private_key,
    load_public_key,
    parse_signatures,
)
from service.settings import SettingsError, parse_settings

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
MAKER, SITE = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))


def _public(path: Path, key: Ed25519PrivateKey) -> Path:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(encoding, form))
    return path


def _private(path: Path, key: object, *, mode: int = 0o600) -> Path:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))  # type: ignore[attr-defined]
    path.chmod(mode)
    return path


def _sign(folder: Path, *keys: Ed25519PrivateKey, days: int | None = None) -> None:
    identity, data = read_package(folder).identity, b""
    for key in keys:
        expires = None if days is None else NOW + timedelta(days=days)
        data = add_signature(data, identity, key=key, now=NOW, expires_at=expires)
    (folder / "SIGNATURES.json").write_bytes(data)


def test_a_signature_by_a_key_of_the_site_satisfies_the_policy(tiny_folder: Path, tmp_path: Path) -> None:
    _sign(tiny_folder, MAKER, SITE)
    policy = SignaturePolicy(required=True, keys=(_public(tmp_path / "site.pem", SITE),))
    assert read_package(tiny_folder, policy=policy).signers == (key_id(SITE.public_key()),)


def test_a_signature_changes_no_digest(tiny_folder: Path) -> None:
    before = read_package(tiny_folder).identity
    _sign(tiny_folder, MAKER)
    assert read_package(tiny_folder).identity == before


def test_signing_again_with_a_key_replaces_its_signature(tiny_folder: Path) -> None:
    _sign(tiny_folder, MAKER, SITE, MAKER)
    entries = parse_signatures((tiny_folder / "SIGNATURES.json").read_bytes(), where="x")
    assert [entry.key for entry in entries] == [key_id(SITE.public_key()), key_id(MAKER.public_key())]


@pytest.mark.parametrize(("days", "fails"), [(10, False), (9, True)])
def test_a_signature_ends_on_the_second(tiny_folder: Path, tmp_path: Path, days: int, fails: bool) -> None:
    _sign(tiny_folder, SITE, days=days)
    policy = SignaturePolicy(required=True, keys=(_public(tmp_path / "site.pem", SITE),))
    then = NOW + timedelta(days=10) - timedelta(seconds=1)
    if not fails:
        assert read_package(tiny_folder, policy=policy, now=then).signers
        return
    with pytest.raises(PackageError, match="expired on 2026-12-08"):
        read_package(tiny_folder, policy=policy, now=then)


def test_where_signatures_are_not_required_strangers_harm_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    _sign(tiny_folder, MAKER)
    policy = SignaturePolicy(keys=(_public(tmp_path / "site.pem", SITE),))
    assert read_package(tiny_folder, policy=policy).signers == ()


def test_a_forged_signature_of_a_known_key_is_refused_whatever_the_policy(tiny_folder: Path, tmp_path: Path) -> None:
    _sign(tiny_folder, SITE)
    path = tiny_folder / "SIGNATURES.json"
    text = path.read_text()
    value = text.split('"value": "')[1][:8]
    path.write_text(text.replace(value, "0" * 8 if value != "0" * 8 else "1" * 8))
    policy = SignaturePolicy(keys=(_public(tmp_path / "site.pem", SITE),))
    with pytest.raises(PackageError, match="is not over this package"):
        read_package(tiny_folder, policy=policy)


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    private = load_private_key(_private(tmp_path / "key.pem", MAKER))
    public = load_public_key(_public(tmp_path / "pub.pem", MAKER))
    assert key_id(private.public_key()) == key_id(public)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606])
def test_a_private_key_that_everybody_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_private_key(_private(tmp_path / "key.pem", MAKER, mode=mode))


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="openssl genpkey -algorithm ed25519"):
        load_private_key(_private(tmp_path / "key.pem", generate_private_key(SECP256R1())))
    with pytest.raises(ConfigurationError, match="openssl pkey"):
        load_public_key(tmp_path / "key.pem")
    with pytest.raises(
        ConfigurationError,
        match=r"cannot be read .*; put a PEM file there that this user may read, or correct the path",
    ):
        load_public_key(tmp_path / "absent.pem")


def test_a_policy_that_nobody_can_satisfy_is_refused() -> None:
    with pytest.raises(SettingsError, match="signatures are required, but no key counts"):
        parse_settings("inference: {signatures: {required: true}}\n")
