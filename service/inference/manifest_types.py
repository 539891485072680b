# SPDX-License-Identifier: Apache-2.0
"""The small types that a manifest is made of: strict, immutable, and with the rule in the error."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_SEMVER: Final = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$"


def check_relative_path(path: str) -> str:
    """Return a path that stays below the folder that it is relative to, on every operating system.

    Raises
    ------
    ValueError
        It is absolute, has . or .. in it, or characters other than letters, digits and . _ - /.
    """
    parts = PurePosixPath(path).parts
    if path.startswith("/") or not parts or ".." in parts or str(PurePosixPath(path)) != path:
        raise ValueError("a file is named relative to the package folder, with / and without . or ..")
    if not re.fullmatch(r"[A-Za-z0-9._/-]+", path):
        raise ValueError("a file name has only letters, digits and . _ - /")
    return path


def _dynamic_as_none(value: Any) -> Any:
    return None if value == -1 else value


def _positive_size(value: int | str | None) -> int | str | None:
    if isinstance(value, int) and value < 1:
        raise ValueError("a dimension is a size of at least 1, a symbol such as batch, or -1 or null for any size")
    return value


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]
Version = Annotated[str, StringConstraints(pattern=_SEMVER, max_length=64)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(check_relative_path)]
Dimension = Annotated[int | str | None, BeforeValidator(_dynamic_as_none), AfterValidator(_positive_size)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of everything in a manifest: immutable, no key that it does not know, no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
