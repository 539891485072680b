# SPDX-License-Identifier: Apache-2.0
"""Who looks at the page: nobody known (and then without identity), a user of the proxy, or somebody with a password."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from service.domain.errors import ConfigurationError
from service.domain.event import ViewerRefused
from service.ports import Observer
from service.ports.pages import Request
from service.settings import ProxySettings, ViewerSettings
from service.web.pace import Attempts
from service.web.passwords import LONGEST_PASSWORD, NAME, NOBODY, Hash, read_viewers

PROXY_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@\\-]{0,63}")
"""A user as proxies name one: "sato", "sato@HOSPITAL.LOCAL", "HOSPITAL\\sato"."""
ADDRESS_ATTEMPTS = 5
NAME_ATTEMPTS = 20
"""Failed sign-ins within five minutes, from one address and of one name, after which none is tried."""
REMEMBERED_SECONDS = 300.0
"""A password that was right is not hashed again for so long: browsers send it with every page."""
REMEMBERED = 256
TURN_SECONDS = 3.0


class Refusal(StrEnum):
    """Why somebody who wanted to sign in was not let in."""

    CREDENTIALS = "credentials"
    TOO_MANY = "too_many"
    PLAIN = "plain"
    """The password came without TLS."""


class RefusedError(Exception):
    """A sign-in that failed; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class Access:
    """Finds out who a viewer is."""

    def __init__(
        self,
        settings: ViewerSettings | None,
        *,
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxy = settings.proxy if settings else None
        self._file = settings.passwords_file if settings else None
        self._observer = observer
        self._attempts = Attempts(monotonic=monotonic)
        self._known = _Remembered(monotonic)
        self._hashing = threading.Lock()

    def takes_passwords(self, request: Request) -> bool:
        """Whether somebody could sign in where this request came."""
        return self._file is not None and request.secure

    def viewer(self, request: Request) -> str:
        """Return the viewer's name; "" for somebody who is not to see identity.

        Raises
        ------
        RefusedError
            The viewer wanted to sign in, and may not.
        """
        return self._of_proxy(request) or self._with_password(request)

    def _of_proxy(self, request: Request) -> str:
        proxy = self._proxy
        if proxy is None or not _comes_from(proxy, request):
            return ""
        names = request.headers.get(proxy.header.lower(), ())
        # Two would be the client's own beside the proxy's: whose is whose cannot be told.
        return names[0] if len(names) == 1 and PROXY_USER.fullmatch(names[0]) else ""

    def _with_password(self, request: Request) -> str:
        shown = request.headers.get("authorization", ())
        if not shown or self._file is None:
            return ""
        if not request.secure:
            raise self._refused(Refusal.PLAIN, request)
        return self._signed_in(self._file, _credentials(shown), request)

    def _signed_in(self, file: Path, credentials: tuple[str, str] | None, request: Request) -> str:
        if credentials is None:
            raise self._refused(Refusal.CREDENTIALS, request)
        name, password = credentials
        if self._known.has(name, password, version=_version(file)):
            return name
        keys = {f"address {request.address}": ADDRESS_ATTEMPTS, f"name {name}": NAME_ATTEMPTS}
        with self._turn(request):
            if any(self._attempts.number(key) >= limit for key, limit in keys.items()):
                raise self._refused(Refusal.TOO_MANY, request)
            viewers, version = _viewers(file), _version(file)
            right = viewers.get(name, NOBODY).fits(password) and name in viewers
            if not right:
                self._attempts.failed(keys)
        if not right:
            raise self._refused(Refusal.CREDENTIALS, request)
        self._attempts.forget(f"address {request.address}")
        self._known.add(name, password, version=version)
        return name

    @contextmanager
    def _turn(self, request: Request) -> Iterator[None]:
        """Hash one password at a time: it is meant to be slow, and takes 32 MiB."""
        if not self._hashing.acquire(timeout=TURN_SECONDS):
            raise self._refused(Refusal.TOO_MANY, request)
        try:
            yield
        finally:
            self._hashing.release()

    def _refused(self, refusal: Refusal, request: Request) -> RefusedError:
        self._observer(ViewerRefused(reason=refusal.value, address=request.address))
        return RefusedError(refusal)


class _Remembered:
    """Passwords that were right a short while ago, as digests under a key of this process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, name: str, password: str, *, version: str) -> bool:
        digest = self._digest(name, password, version)
        with self._lock:
            return self._until.get(digest, 0.0) > self._monotonic()

    def add(self, name: str, password: str, *, version: str) -> None:
        digest = self._digest(name, password, version)
        with self._lock:
            self._until[digest] = self._monotonic() + REMEMBERED_SECONDS
            while len(self._until) > REMEMBERED:
                self._until.popitem(last=False)

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode()
        return hmac.new(self._key, text, hashlib.sha256).digest()


def _comes_from(proxy: ProxySettings, request: Request) -> bool:
    try:
        address = ip_address(request.address)
    except ValueError:
        return False
    here = any(address in network for network in proxy.address)
    return here and (request.secure or address.is_loopback)


def _credentials(headers: tuple[str, ...]) -> tuple[str, str] | None:
    """Return name and password of the Basic scheme (RFC 7617, UTF-8); None for anything else."""
    scheme, _, shown = headers[0].partition(" ")
    if len(headers) != 1 or scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    usable = colon and NAME.fullmatch(name) and 0 < len(password) <= LONGEST_PASSWORD and "\0" not in password
    return (name, password) if usable else None


def _viewers(file: Path) -> Mapping[str, Hash]:
    try:
        return read_viewers(file)
    except ConfigurationError:
        return {}  # `start` refuses such a file; one that was broken since lets nobody in


def _version(file: Path) -> str:
    """Return what changes when the file does, so that a removed viewer is forgotten at once."""
    try:
        found = file.stat()
    except OSError:
        return secrets.token_hex()
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size} {found.st_mode}"
