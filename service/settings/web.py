# SPDX-License-Identifier: Apache-2.0
"""Who is shown patients' identity on the status page; everybody else sees study keys alone.

Passwords are hashes in a file, never values: config.yaml can then be read by everybody who helps.
"""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from service.settings.base import Section


class ProxySettings(Section):
    """A reverse proxy that makes sure who its users are, and says so in a header."""

    address: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    """One address ("127.0.0.1") or network, or a list of them: the header counts from there alone."""
    header: str = Field(default="X-Remote-User", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")
    """The header with the user's name; the proxy must take away what a client itself wrote there."""

    @field_validator("address", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        return [part for item in values for part in (["127.0.0.0/8", "::1"] if item == "localhost" else [item])]

    @property
    def is_local(self) -> bool:
        """Whether it can only be on this machine."""
        return all(network.is_loopback for network in self.address)


class ViewerSettings(Section):
    """Who is shown identity: the users of a proxy, those of a file of passwords, or both."""

    proxy: ProxySettings | None = None
    passwords_file: Path | None = None
    """A line for each viewer, as `dokuei viewer NAME` prints it; readable by owner and group at most (mode 0640)."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.proxy is None and self.passwords_file is None:
            raise ValueError("nobody could be shown identity; give 'proxy' or 'passwords_file', or remove 'viewers'")
        return self
