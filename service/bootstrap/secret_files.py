# SPDX-License-Identifier: Apache-2.0
"""Files with tokens and passwords are read by the node and its group, and by nobody else; keys: `security`."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from service.settings import Settings
from service.transport.certificates import KEY_MODE

SECRET_KEYS = ("token_file", "password_file")
"""Whatever key of config.yaml ends like this names a file with a secret."""


def secret_files(section: BaseModel, place: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every file with a token or password that the configuration names, with its place there."""
    for name in type(section).model_fields:
        yield from _below(getattr(section, name), f"{place}.{name}".removeprefix("."))


def secret_problems(settings: Settings) -> list[str]:
    """Return which of these files others can read or change; one that is not there is told where it is used."""
    found = ((place, path, _mode(path)) for place, path in secret_files(settings))
    return [
        f"{place}: {path} has mode {mode:04o}, so that others may read or change the secret in it; at most "
        f"{KEY_MODE:04o} is accepted: chmod {KEY_MODE:04o} {path}"
        for place, path, mode in found
        if mode & ~KEY_MODE
    ]


def _below(value: object, place: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, BaseModel):
        yield from secret_files(value, place)
    elif isinstance(value, tuple):
        for item in value:
            yield from _below(item, f"{place}.{getattr(item, 'name', '')}")
    elif isinstance(value, Path) and place.endswith(SECRET_KEYS):
        yield place, value


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0
