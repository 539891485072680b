# SPDX-License-Identifier: Apache-2.0
"""What every section of config.yaml is made of."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

AE_TITLE = re.compile(r"[\x21-\x5B\x5D-\x7E]([\x20-\x5B\x5D-\x7E]{0,14}[\x21-\x5B\x5D-\x7E])?")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _check_ae_title(value: str) -> str:
    if not AE_TITLE.fullmatch(value):
        raise ValueError("an AE title has 1 to 16 ASCII characters, no backslash, no blank at either end (PS3.5 6.2)")
    return value


def _check_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("a name has 1 to 32 of a-z 0-9 _ - and begins with a letter")
    return value


AeTitle = Annotated[str, AfterValidator(_check_ae_title)]
"""Application Entity title (PS3.5 section 6.2)."""
Name = Annotated[str, AfterValidator(_check_name)]
"""Name of a peer, destination, rule or notifier: it becomes a metric label and a queue name."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Timeout = Annotated[float, Field(gt=0, le=86_400)]


class Section(BaseModel):
    """Base of every section: immutable, and no key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
