# SPDX-License-Identifier: Apache-2.0
"""The seam between the HTTP port and what it shows: a request as a value, and an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A GET or HEAD. `headers` has names in lower case, each with all its values as they came.

    `address` is the client's, `secure` says whether the request came over TLS. `query` is raw.
    """

    path: str
    query: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    address: str = ""
    secure: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a header; "" when it is absent."""
        return self.headers.get(name, ("",))[0]


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes
    encoding: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Pages(Protocol):
    """Pages beside those that the port itself has."""

    def __call__(self, request: Request, /) -> Page | None:
        """Return the page; None for a path that is not among them."""
