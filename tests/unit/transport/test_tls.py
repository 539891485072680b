# SPDX-License-Identifier: Apache-2.0
"""TLS on real sockets: who is let in, who is not, and what new files change."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes import Recorder
from harness.authority import CLIENT, DAY, SERVER, Authority, Pair
from service.domain.errors import ConfigurationError
from service.domain.event import CertificateLoaded, CertificateRejected, TlsHandshake
from service.settings import TlsClientSettings, TlsServerSettings
from service.transport import tls
from service.transport.admission import CertificateIdentity
from service.transport.certificates import certificate_problems, chain_problem, peer_identity
from service.transport.tls import TlsClient, TlsError, TlsServer, handshake

HANDSHAKE_SECONDS = 1.0


@dataclass
class EchoServer:
    """Accepts in one thread and shakes hands in one thread per connection, as the node does; echoes what it reads."""

    server: TlsServer
    identities: list[CertificateIdentity | None] = field(default_factory=list)
    versions: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(self.server.wrap(connection)) as secured, suppress(OSError, TlsError):
            self.server.handshake(secured, address="127.0.0.1")
            self.identities.append(peer_identity(secured))
            self.versions.append(secured.version())
            while data := secured.recv(65_536):
                secured.sendall(data)


@dataclass
class Site:
    """An authority, the node's certificate, a peer's, and a listening server."""

    folder: Path
    authority: Authority
    node: Pair
    peer: Pair
    observer: Recorder = field(default_factory=Recorder)

    def settings(self, **changes: Any) -> TlsServerSettings:
        values = {
            "port": 2762,
            "certificate": self.node.certificate,
            "key": self.node.key,
            "trusted": self.authority.certificate,
            "handshake_seconds": HANDSHAKE_SECONDS,
        }
        return TlsServerSettings.model_validate({**values, **changes})

    def results(self) -> list[str]:
        return [event.result for event in self.observer.of(TlsHandshake)]

    def wait_result(self, count: int = 1) -> str:
        """Wait until `count` handshakes have ended, and return how the last one did."""
        ends = time.monotonic() + 5
        while len(self.results()) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.results()[count - 1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    return Site(
        folder=tmp_path,
        authority=authority,
        node=authority.issue("node.example"),
        peer=authority.issue("ct.example", usage=(CLIENT,)),
    )


@pytest.fixture
def running(site: Site) -> Iterator[EchoServer]:
    server = EchoServer(TlsServer(site.settings(), observer=site.observer))
    yield server
    server.close()


def start(site: Site, **changes: Any) -> EchoServer:
    return EchoServer(TlsServer(site.settings(**changes), observer=site.observer))


def context_for(site: Site, pair: Pair | None, **choices: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=site.authority.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are what is tested
        for name, value in choices.items():
            setattr(context, name, value)
    return context


def talk(port: int, context: ssl.SSLContext, text: bytes = b"hello") -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(text)
        return secured.recv(65_536)


def test_a_known_certificate_is_let_in_with_tls_13_and_its_identity_is_told(site: Site, running: EchoServer) -> None:
    assert talk(running.port, context_for(site, site.peer)) == b"hello"
    assert running.versions == ["TLSv1.3"]
    assert running.identities == [
        CertificateIdentity(sha256=site.peer.sha256, names=("ct.example", "127.0.0.1", "ct.example"))
    ]
    assert site.results() == ["ok"]


def test_tls_12_is_let_in_with_forward_secrecy_and_authenticated_encryption(site: Site, running: EchoServer) -> None:
    assert talk(running.port, context_for(site, site.peer, maximum_version=ssl.TLSVersion.TLSv1_2)) == b"hello"
    assert running.versions == ["TLSv1.2"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(site: Site, running: EchoServer, version: ssl.TLSVersion) -> None:
    context = context_for(site, site.peer)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset: OpenSSL's choice
        talk(running.port, context)
    assert site.wait_result() == "version"


def test_tls_12_is_refused_where_13_is_wanted(site: Site) -> None:
    server = start(site, minimum_version="1.3")
    with pytest.raises(ssl.SSLError):
        talk(server.port, context_for(site, site.peer, maximum_version=ssl.TLSVersion.TLSv1_2))
    assert site.wait_result() == "version"


@pytest.mark.parametrize(
    "ciphers", ["AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA"]
)
def test_tls_12_without_ecdhe_or_without_aead_is_refused(site: Site, ciphers: str) -> None:
    pair = site.authority.issue("rsa.example", rsa_key=True)
    server = start(site, certificate=pair.certificate, key=pair.key)
    assert talk(server.port, context_for(site, site.peer)) == b"hello"
    context = context_for(site, site.peer, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        talk(server.port, context)
    assert site.wait_result(2) == "cipher"


def bad_pair(site: Site, kind: str) -> Pair | None:
    stranger = Authority(site.folder / "stranger", name="Somebody Else")
    made = {
        "none": lambda: None,
        "expired": lambda: site.authority.issue("old.example", begins=-9 * DAY, ends=-DAY),
        "early": lambda: site.authority.issue("early.example", begins=DAY),
        "stranger": lambda: stranger.issue("ct.example"),
        "server": lambda: site.authority.issue("server.example", usage=(SERVER,)),
    }
    return made[kind]()


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("none", "no_certificate"),
        ("expired", "expired"),
        ("early", "not_yet_valid"),
        ("stranger", "unknown_authority"),
        ("server", "wrong_purpose"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_a_good_certificate_is_refused(
    site: Site, running: EchoServer, kind: str, word: str, version: ssl.TLSVersion
) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - in TLS 1.3 the refusal comes with the first read
        talk(running.port, context_for(site, bad_pair(site, kind), maximum_version=version))
    assert site.wait_result() == word
    assert talk(running.port, context_for(site, site.peer)) == b"hello"


def test_without_a_required_certificate_a_client_has_no_identity(site: Site) -> None:
    server = start(site, require_client_certificate=False)
    assert talk(server.port, context_for(site, None)) == b"hello"
    assert server.identities == [None]


def test_a_revoked_certificate_is_refused_and_others_are_not(site: Site) -> None:
    other = site.authority.issue("mr.example")
    server = start(site, revoked=site.authority.revocation_list(site.peer))
    with pytest.raises(OSError):  # noqa: PT011
        talk(server.port, context_for(site, site.peer))
    assert site.wait_result() == "revoked"
    assert talk(server.port, context_for(site, other)) == b"hello"


def test_an_old_revocation_list_lets_nobody_in(site: Site) -> None:
    server = start(site, revoked=site.authority.revocation_list(ends=-DAY))
    with pytest.raises(OSError):  # noqa: PT011
        talk(server.port, context_for(site, site.peer))
    assert site.wait_result() == "revocation_list_expired"


def exchange(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1", session=session) as secured,
    ):
        secured.sendall(b"x")
        assert secured.recv(1) == b"x"
        return secured.session


def test_a_certificate_revoked_while_the_node_runs_is_refused_even_with_a_session_from_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    server = start(site, revoked=site.authority.revocation_list())
    context = context_for(site, site.peer, maximum_version=ssl.TLSVersion.TLSv1_2)
    session = exchange(server.port, context)
    assert exchange(server.port, context, session) == session
    site.authority.revocation_list(site.peer)
    with pytest.raises(OSError):  # noqa: PT011
        exchange(server.port, context, session)
    assert site.wait_result(3) == "revoked"


@pytest.mark.parametrize("words", [b"\x01\x00\x00\x00\x00\xcd" + bytes(205), b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64])
def test_plain_bytes_on_the_tls_port_are_closed_and_the_next_client_is_served(
    site: Site, running: EchoServer, words: bytes
) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(words)
        with suppress(ConnectionError):
            while connection.recv(4096):
                pass
    assert time.monotonic() - started < 5
    assert site.wait_result() == "not_tls"
    assert talk(running.port, context_for(site, site.peer)) == b"hello"


def client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="node.example").do_handshake()
    return outgoing.read()


def drip(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)


@pytest.mark.parametrize("dripping", [False, True])
def test_silent_and_dripping_clients_are_dropped_in_time_and_hold_up_nobody(
    site: Site, running: EchoServer, *, dripping: bool
) -> None:
    connections = [socket.create_connection(("127.0.0.1", running.port), timeout=5) for _ in range(20)]
    started = time.monotonic()
    for connection in connections if dripping else []:
        threading.Thread(target=drip, args=(connection, client_hello()), daemon=True).start()
    assert talk(running.port, context_for(site, site.peer)) == b"hello"
    assert time.monotonic() - started < HANDSHAKE_SECONDS
    for connection in connections:
        with suppress(ConnectionError):
            assert connection.recv(1) == b""
        connection.close()
    assert time.monotonic() - started < HANDSHAKE_SECONDS + 2
    assert site.results().count("timeout") == 20


def test_new_files_are_used_for_new_connections_and_open_ones_go_on(
    site: Site, running: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    context = context_for(site, site.peer)
    with (
        socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as old,
    ):
        old.sendall(b"before")
        assert old.recv(100) == b"before"
        fresh = site.authority.issue("node.example", ends=100 * DAY)
        with (
            socket.create_connection(("127.0.0.1", running.port), timeout=5) as second,
            context.wrap_socket(second, server_hostname="127.0.0.1") as new,
        ):
            assert new.getpeercert(binary_form=True) == fresh.parsed.public_bytes(_der())
        old.sendall(b"after")
        assert old.recv(100) == b"after"
    loaded = site.observer.of(CertificateLoaded)
    assert [event.certificate for event in loaded] == ["node", "node"]
    assert loaded[-1].expires_at == fresh.parsed.not_valid_after_utc.timestamp()


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


@pytest.mark.parametrize("kind", ["half", "rubbish", "gone", "other_key", "open_key"])
def test_bad_new_files_leave_the_last_good_ones_in_use(
    site: Site, running: EchoServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    good = site.node.certificate.read_bytes()
    if kind == "half":
        site.node.certificate.write_bytes(good[:300])
    elif kind == "rubbish":
        site.node.certificate.write_bytes(b"rubbish")
    elif kind == "gone":
        site.node.certificate.unlink()
    elif kind == "other_key":
        shutil.copy(site.peer.key, site.node.key)
    else:
        site.node.key.chmod(0o644)
    assert talk(running.port, context_for(site, site.peer)) == b"hello"
    assert talk(running.port, context_for(site, site.peer)) == b"hello"
    (rejected,) = site.observer.of(CertificateRejected)
    assert str(site.node.certificate if kind != "open_key" else site.node.key) in rejected.problem
    assert not running.server.reload()
    site.node.key.unlink()
    site.authority.issue("node.example")
    assert running.server.reload()
    assert talk(running.port, context_for(site, site.peer)) == b"hello"


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o777])
def test_a_key_that_others_can_read_or_write_is_refused(site: Site, mode: int) -> None:
    site.node.key.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}.*chmod 0640 {site.node.key}"):
        TlsServer(site.settings(), observer=site.observer)
    site.node.key.chmod(0o640)
    TlsServer(site.settings(), observer=site.observer)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"certificate": "nowhere.pem"}, "certificate nowhere.pem cannot be read: No such file"),
        ({"key": "nowhere.key"}, "key nowhere.key cannot be read: No such file"),
        ({"trusted": "nowhere.pem"}, "trusted nowhere.pem cannot be read: No such file"),
        ({"revoked": "nowhere.pem"}, "revocation list nowhere.pem cannot be read: No such file"),
    ],
)
def test_a_missing_file_is_named(site: Site, change: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        TlsServer(site.settings(**change), observer=site.observer)


def test_a_key_with_a_passphrase_or_of_another_certificate_is_refused(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="is not the key of certificate"):
        TlsServer(site.settings(key=site.peer.key), observer=site.observer)
    locked = site.folder / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", site.node.key, "-aes256", "-passout", "pass:secret", "-out", locked], check=True
    )
    locked.chmod(0o600)
    with pytest.raises(ConfigurationError, match="passphrase"):
        TlsServer(site.settings(key=locked), observer=site.observer)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (31 * DAY, []),
        (29 * DAY, ["order a new one"]),
        (6 * DAY, ["put a new one there NOW"]),
        (-DAY, ["ended on .*NOW"]),
    ],
)
def test_a_certificate_that_ends_soon_is_told(site: Site, ends: timedelta, words: list[str]) -> None:
    pair = site.authority.issue("ending.example", ends=ends + timedelta(minutes=1), begins=-40 * DAY)
    settings = site.settings(certificate=pair.certificate, key=pair.key)
    problems = list(certificate_problems(settings, now=datetime.now(UTC)))
    assert len(problems) == len(words)
    for problem, word in zip(problems, words, strict=True):
        assert word.split(".*")[-1] in problem


def test_a_revocation_list_that_ends_soon_is_told(site: Site) -> None:
    settings = site.settings(revoked=site.authority.revocation_list(ends=3 * DAY))
    (problem,) = certificate_problems(settings, now=datetime.now(UTC))
    assert "revocation list" in problem


def test_intermediate_certificates_stand_in_order(site: Site) -> None:
    between = site.authority.subordinate("Between")
    pair = between.issue("deep.example")
    leaf, issuer = pair.certificate.read_bytes(), between.certificate.read_bytes()
    pair.certificate.write_bytes(leaf + issuer)
    assert chain_problem(pair.certificate) == ""
    server = start(site, certificate=pair.certificate, key=pair.key)
    assert talk(server.port, context_for(site, site.peer)) == b"hello"
    pair.certificate.write_bytes(leaf + site.authority.certificate.read_bytes() + issuer)
    assert "number 1 in the file is not issued by number 2" in chain_problem(pair.certificate)


@pytest.mark.peers
@pytest.mark.parametrize("known", [True, False])
def test_dcmtk_is_a_client_like_any_other(site: Site, running: EchoServer, *, known: bool) -> None:
    pair = site.peer if known else Authority(site.folder / "stranger", name="Somebody Else").issue("ct.example")
    authority = ["+cf", str(site.authority.certificate)]
    command = ["echoscu", "-ta", "1", "-td", "1", "+tls", str(pair.key), str(pair.certificate), *authority]
    subprocess.run([*command, "127.0.0.1", str(running.port)], check=False, capture_output=True, timeout=30)
    assert site.wait_result() == ("ok" if known else "unknown_authority")
    assert [identity.sha256 for identity in running.identities if identity] == ([pair.sha256] if known else [])


# --- the calling side ------------------------------------------------------------------------------------------------


def client(site: Site, **changes: Any) -> TlsClient:
    values = {
        "trusted": site.authority.certificate,
        "certificate": site.peer.certificate,
        "key": site.peer.key,
        **changes,
    }
    settings = TlsClientSettings.model_validate(values)
    return TlsClient(settings, host="127.0.0.1", observer=site.observer, name="pacs")


def call(port: int, caller: TlsClient) -> bytes:
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    with caller.connect(connection, seconds=2) as secured:
        secured.sendall(b"hello")
        return secured.recv(100)


def test_we_call_and_verify_the_name(site: Site, running: EchoServer) -> None:
    assert call(running.port, client(site)) == b"hello"
    assert call(running.port, client(site, server_name="node.example")) == b"hello"
    with pytest.raises(TlsError, match="wrong_name") as caught:
        call(running.port, client(site, server_name="other.example"))
    assert "tls.server_name" in str(caught.value)


def test_we_do_not_talk_to_a_stranger_or_to_plain_bytes(site: Site, running: EchoServer) -> None:
    stranger = Authority(site.folder / "stranger", name="Somebody Else")
    with pytest.raises(TlsError, match="unknown_authority"):
        call(running.port, client(site, trusted=stranger.certificate))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TlsError, match="timeout"):
        call(silent.getsockname()[1], client(site))


def test_the_handshake_leaves_a_blocking_connection(site: Site, running: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        context = context_for(site, site.peer)
        with context.wrap_socket(connection, server_hostname="127.0.0.1", do_handshake_on_connect=False) as secured:
            handshake(secured, seconds=2)
            assert secured.gettimeout() is None
