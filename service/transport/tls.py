# SPDX-License-Identifier: Apache-2.0
"""TLS by BCP 195 (RFC 9325, PS3.15 B.12): contexts from files, handshakes with a deadline, new files without a restart.

The contexts are OpenSSL's; what is ours is which choices are left to the other side (few), when the files are read
again, and one word for every way in which a handshake fails.
"""

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.domain.errors import ConfigurationError, DokueiError
from service.domain.event import CertificateLoaded, CertificateRejected, TlsHandshake
from service.ports import Observer
from service.settings import TlsClientSettings, TlsServerSettings
from service.transport.certificates import FileState, check_key, expires_at, file_state, revocation_expires_at

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: forward secrecy and authenticated encryption, nothing else (RFC 9325 section 4.2); 1.3 has no other."""
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LOOK_SECONDS = 2.0
"""So often at most are the files looked at, when connections come."""

FAILURES = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "WRONG_VERSION_NUMBER": "not_tls",
    "HTTP_REQUEST": "not_tls",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "UNEXPECTED_EOF_WHILE_READING": "broken",
    "TLSV1_ALERT_UNKNOWN_CA": "distrusts_us",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "distrusts_us",
    "SSLV3_ALERT_BAD_CERTIFICATE": "distrusts_us",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "distrusts_us",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "distrusts_us",
    "TLSV1_ALERT_PROTOCOL_VERSION": "version",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "cipher",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "no_certificate",
}
"""OpenSSL's reason, and the word that metrics and messages use."""
VERIFY_FAILURES = {
    3: "no_revocation_list",
    9: "not_yet_valid",
    10: "expired",
    12: "revocation_list_expired",
    2: "unknown_authority",
    7: "unknown_authority",  # an authority of that name, with another key
    18: "unknown_authority",
    19: "unknown_authority",
    20: "unknown_authority",
    21: "unknown_authority",
    23: "revoked",
    26: "wrong_purpose",
    62: "wrong_name",
    64: "wrong_name",
}
"""OpenSSL's X509_V_ERR_*, and the word that metrics and messages use."""
REMEDIES = {
    "no_certificate": "it wants a certificate of ours; give 'tls.certificate' and 'tls.key'",
    "version": "no TLS version in common; 1.2 is the lowest accepted here",
    "cipher": "no cipher suite in common; TLS 1.2 needs ECDHE with AES-GCM or ChaCha20",
    "not_tls": "it does not speak TLS on this port; check 'port'",
    "expired": "its certificate has ended, or one of ours' clocks is wrong",
    "not_yet_valid": "its certificate is not valid yet; check the clocks",
    "unknown_authority": "its certificate is of no authority in 'tls.trusted'",
    "revoked": "its certificate is revoked",
    "wrong_purpose": "its certificate is not made for this side of TLS (extended key usage)",
    "wrong_name": "its certificate bears another name; check 'host' or 'tls.server_name'",
    "no_revocation_list": "'tls.revoked' has no list of the authority that issued its certificate",
    "revocation_list_expired": "'tls.revoked' is too old; fetch a new list",
    "distrusts_us": "it does not trust our certificate; it must know the authority that issued it",
    "timeout": "it did not finish the handshake in time",
    "broken": "it broke the connection off during the handshake",
}


class TlsError(DokueiError):
    """A handshake failed; `reason` is a word of a closed set."""

    retryable = True

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the TLS handshake failed ({reason}): {REMEDIES.get(reason, 'see the log of the other side')}"
        )
        self.reason = reason


def server_context(settings: TlsServerSettings) -> ssl.SSLContext:
    """Return a context for the listening side.

    Raises
    ------
    ConfigurationError
        A file cannot be used; the message names it and the remedy.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings.minimum_version)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _show(context, settings.certificate, settings.key)
    if settings.trusted is not None:
        _trust(context, settings.trusted, settings.revoked)
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    return context


def client_context(settings: TlsClientSettings) -> ssl.SSLContext:
    """Return a context for the calling side: the other's certificate and name are verified. Raises as above."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings.minimum_version)
    if settings.certificate is not None and settings.key is not None:
        _show(context, settings.certificate, settings.key)
    _trust(context, settings.trusted, settings.revoked)
    return context


class _Reloading:
    """A context that is made again when its files change; while the new files are bad, the last good one stays."""

    def __init__(
        self,
        name: str,
        settings: TlsServerSettings | TlsClientSettings,
        *,
        make: Callable[[], ssl.SSLContext],
        observer: Observer,
    ) -> None:
        self._name = name
        self._settings = settings
        self._make = make
        self._observer = observer
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: FileState = file_state(_files(settings))
        self._usable = True
        self._context = make()
        self._looked_at = time.monotonic()
        self._report()

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection; looks at the files when that was not done lately."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._context

    def reload(self) -> bool:
        """Look at the files now; False when what is there cannot be used and the last good context stays."""
        with self._lock:
            return self._look()

    def _look(self) -> bool:
        self._looked_at = time.monotonic()
        state = file_state(_files(self._settings))
        if state != self._seen:
            self._seen = state
            self._usable = self._renew()
        return self._usable

    def _renew(self) -> bool:
        try:
            self._context = self._make()
            self._report()
        except ConfigurationError as error:
            self._observer(CertificateRejected(certificate=self._name, problem=str(error)))
            return False
        return True

    def _report(self) -> None:
        settings = self._settings
        if settings.certificate is not None:
            self._observer(CertificateLoaded(certificate=self._name, expires_at=expires_at(settings.certificate)))
        if settings.revoked is not None:
            ends = revocation_expires_at(settings.revoked)
            self._observer(CertificateLoaded(certificate=f"{self._name}-revoked", expires_at=ends))


class TlsServer:
    """The listening side of TLS.

    Raises
    ------
    ConfigurationError
        The files cannot be used at the start; later, bad new files leave the last good ones in use.
    """

    def __init__(self, settings: TlsServerSettings, *, observer: Observer, name: str = "node") -> None:
        self._contexts = _Reloading(name, settings, make=lambda: server_context(settings), observer=observer)
        self._observer = observer
        self.settings = settings

    @property
    def port(self) -> int:
        """The configured port."""
        return self.settings.port

    def reload(self) -> bool:
        """Read changed files now; False when they cannot be used and the last good ones stay. For SIGHUP."""
        return self._contexts.reload()

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection as TLS; nothing is sent or read until `handshake`."""
        return self._contexts.current().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def handshake(self, connection: ssl.SSLSocket, *, address: str = "") -> None:
        """Do the handshake within `handshake_seconds`, in the connection's own thread, and report how it went.

        The connection is left blocking, without a timeout.

        Raises
        ------
        TlsError
            It failed; the caller closes the connection.
        """
        try:
            handshake(connection, seconds=self.settings.handshake_seconds)
        except TlsError as error:
            self._observer(TlsHandshake(result=error.reason, address=address))
            raise
        self._observer(TlsHandshake(result="ok", address=address))


class TlsClient:
    """The calling side of TLS to one system; `name` is what metrics call its certificate."""

    def __init__(self, settings: TlsClientSettings, *, host: str, observer: Observer, name: str) -> None:
        self._contexts = _Reloading(name, settings, make=lambda: client_context(settings), observer=observer)
        self._server_name = settings.server_name or host

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection as TLS; nothing is sent or read until `handshake`."""
        context = self._contexts.current()
        return context.wrap_socket(connection, server_hostname=self._server_name, do_handshake_on_connect=False)

    def connect(self, connection: socket.socket, *, seconds: float) -> ssl.SSLSocket:
        """Return the connection as TLS with the handshake done; raises TlsError, and the connection is closed then.

        With TLS 1.3 the other side's verdict on our certificate comes after the handshake: the first read then
        raises ssl.SSLError, which `failure_word` puts in words.
        """
        secured = self.wrap(connection)
        try:
            handshake(secured, seconds=seconds)
        except TlsError:
            secured.close()
            raise
        return secured


def handshake(connection: ssl.SSLSocket, *, seconds: float) -> None:
    """Do the handshake within `seconds` in all, however the other side drips; the connection is blocking afterwards.

    Raises
    ------
    TlsError
        It failed, or took too long.
    """
    ends = time.monotonic() + seconds
    connection.setblocking(False)
    with selectors.DefaultSelector() as selector:
        key = selector.register(connection, selectors.EVENT_READ)
        while (wanted := _step(connection)) is not None:
            if key.events != wanted:
                key = selector.modify(connection, wanted)
            left = ends - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise TlsError("timeout")
    connection.setblocking(True)


def failure_word(error: Exception) -> str:
    """Return a word of a closed set for what went wrong on a TLS connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return VERIFY_FAILURES.get(error.verify_code, "bad_certificate")
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "broken"
    reason = getattr(error, "reason", "") or ""
    return FAILURES.get(str(reason), "protocol")


def _step(connection: ssl.SSLSocket) -> int | None:
    """Take the handshake a step further; return what to wait for, or None when it is done."""
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return selectors.EVENT_READ
    except ssl.SSLWantWriteError:
        return selectors.EVENT_WRITE
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TlsError(failure_word(error)) from error
    return None


def _context(side: int, minimum_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = VERSIONS[minimum_version]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    expires_at(certificate)  # says what is wrong with the file in plainer words than OpenSSL
    check_key(key)
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = "is not the key of" if error.reason == "KEY_VALUES_MISMATCH" else "cannot be used with"
        raise ConfigurationError(f"key {key} {reason} certificate {certificate}; put a matching pair there") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"key {key} cannot be used: {error}") from error


def _no_passphrase() -> str:
    raise ValueError("it has a passphrase, which a service cannot type; store it without, with mode 0640")


def _trust(context: ssl.SSLContext, trusted: Path, revoked: Path | None) -> None:
    _load(context, trusted, "trusted", "'-----BEGIN CERTIFICATE-----'")
    context.verify_mode = ssl.CERT_REQUIRED
    if revoked is None:
        return
    revocation_expires_at(revoked)
    _load(context, revoked, "revoked", "'-----BEGIN X509 CRL-----'")
    # Of the peer's own certificate: to check every authority as well, each would have to publish a list.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load(context: ssl.SSLContext, path: Path, option: str, form: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else f"no PEM ({form})"
        raise ConfigurationError(f"{option} {path} cannot be read: {reason}") from error


def _files(settings: TlsServerSettings | TlsClientSettings) -> list[Path | None]:
    return [settings.certificate, settings.key, settings.trusted, settings.revoked]
