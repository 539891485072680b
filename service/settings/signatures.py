# SPDX-License-Identifier: Apache-2.0
"""Whose signatures on model packages the site asks for."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from service.settings.base import Section


class SignatureSettings(Section):
    """Ed25519 signatures of model packages; see docs/model-packages.md."""

    required: bool = False
    """Refuse every package without a valid signature by one of `keys`; else only those with a status above research."""
    keys: tuple[Path, ...] = Field(default=(), max_length=64)
    """Public keys (PEM files) of those whose signatures count."""

    @model_validator(mode="after")
    def _somebody_can_sign(self) -> Self:
        if self.required and not self.keys:
            raise ValueError("signatures are required, but no key counts; give 'keys', files with public keys in PEM")
        return self
