# SPDX-License-Identifier: Apache-2.0
"""The bearer token (RFC 6750) that a system wants from us, from a file that may change while the node runs."""

from pathlib import Path


class TokenFileError(Exception):
    """The file of a token cannot be read; its text names the file and why, and never the token."""


def authorization(token_file: Path | None) -> dict[str, str]:
    """Return the header that carries the token, none without a file or with an empty one; read anew at each request.

    Raises
    ------
    TokenFileError
        The file is not there, may not be read, or holds what is no ASCII text.
    """
    if token_file is None:
        return {}
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"needs its token_file {token_file}: {type(error).__name__}") from error
    return {"Authorization": f"Bearer {token}"} if token else {}
