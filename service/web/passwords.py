# SPDX-License-Identifier: Apache-2.0
"""The file of viewers: a name and a salted scrypt hash (RFC 7914) in each line, and nothing to be read from it."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LINE = re.compile(
    rf"({NAME.pattern}):scrypt\$(\d{{2}})\$(\d{{1,2}})\$(\d{{1,2}})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)"
)
LOG2_N, BLOCK_SIZE, PARALLELISM = 15, 8, 3
"""32 MiB and a tenth of a second or more: what OWASP's password storage sheet asks of scrypt (N=2^15, r=8, p=3)."""
LEAST_LOG2_N, MOST_LOG2_N, MOST_BLOCK_SIZE, MOST_PARALLELISM = 14, 17, 8, 8
MEMORY_BYTES = 160 * 2**20
SALT_BYTES, HASH_BYTES = 16, 32
FILE_MODE = 0o640
LARGEST_FILE_BYTES = 65_536
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """A salted hash and what it cost."""

    log2_n: int
    block_size: int
    parallelism: int
    salt: bytes
    value: bytes

    def fits(self, password: str) -> bool:
        """Say whether it is that of the password; takes the same time whatever the answer."""
        found = hashlib.scrypt(
            password.encode(),
            salt=self.salt,
            n=2**self.log2_n,
            r=self.block_size,
            p=self.parallelism,
            maxmem=MEMORY_BYTES,
            dklen=HASH_BYTES,
        )
        return hmac.compare_digest(found, self.value)


NOBODY = Hash(
    log2_n=LOG2_N, block_size=BLOCK_SIZE, parallelism=PARALLELISM, salt=bytes(SALT_BYTES), value=bytes(HASH_BYTES)
)
"""What an unknown name is compared with, so that the time does not tell which names there are."""


def viewer_line(name: str, password: str) -> str:
    """Return the line of a viewer for the file.

    Raises
    ------
    ConfigurationError
        The name or the password cannot be used.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigurationError("a viewer's name has 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or digit")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ConfigurationError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    salt = secrets.token_bytes(SALT_BYTES)
    value = hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=2**LOG2_N,
        r=BLOCK_SIZE,
        p=PARALLELISM,
        maxmem=MEMORY_BYTES,
        dklen=HASH_BYTES,
    )
    return f"{name}:scrypt${LOG2_N}${BLOCK_SIZE}${PARALLELISM}${_base64(salt)}${_base64(value)}"


def read_viewers(path: Path) -> Mapping[str, Hash]:
    """Return the hash of each viewer by name.

    Raises
    ------
    ConfigurationError
        The file cannot be read, others may read or change it, or a line is not one of `dokuei viewer`.
    """
    try:
        mode, size = path.stat().st_mode & 0o777, path.stat().st_size
        if mode & ~FILE_MODE:
            raise ConfigurationError(
                f"{path} has mode {mode:04o}, so that others may read or change it; at most {FILE_MODE:04o} is "
                f"accepted: chmod {FILE_MODE:04o} {path}"
            )
        if size > LARGEST_FILE_BYTES:
            raise ConfigurationError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes; is it the right file?")
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no ASCII text"
        raise ConfigurationError(f"{path} cannot be read: {reason}; `dokuei viewer NAME` prints its lines") from error
    return _viewers(path, lines)


def _viewers(path: Path, lines: list[str]) -> Mapping[str, Hash]:
    found: dict[str, Hash] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, entry = _parsed(line.strip(), place=f"{path} line {number}")
        if name in found:
            raise ConfigurationError(f"{path} line {number}: the name stands in an earlier line too; remove one")
        found[name] = entry
    if not found:
        raise ConfigurationError(f"{path} names nobody; `dokuei viewer NAME >> {path}` adds a viewer")
    return found


def _parsed(line: str, *, place: str) -> tuple[str, Hash]:
    """Return name and hash; what is wrong is said without quoting the line."""
    form = LINE.fullmatch(line)
    if form is None:
        raise ConfigurationError(f"{place}: not a line of `dokuei viewer NAME`; write it anew")
    log2_n, block_size, parallelism = int(form[2]), int(form[3]), int(form[4])
    cheap = not LEAST_LOG2_N <= log2_n <= MOST_LOG2_N
    if cheap or not 1 <= block_size <= MOST_BLOCK_SIZE or not 1 <= parallelism <= MOST_PARALLELISM:
        raise ConfigurationError(f"{place}: scrypt with N=2^{log2_n}, r={block_size}, p={parallelism} is not accepted")
    try:
        salt, value = (base64.b64decode(form[part], validate=True) for part in (5, 6))
    except binascii.Error as error:
        raise ConfigurationError(f"{place}: salt or hash is damaged; write the line anew") from error
    if len(salt) < SALT_BYTES or len(value) != HASH_BYTES:
        raise ConfigurationError(f"{place}: salt or hash is too short; write the line anew")
    return form[1], Hash(log2_n=log2_n, block_size=block_size, parallelism=parallelism, salt=salt, value=value)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
