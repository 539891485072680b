# SPDX-License-Identifier: Apache-2.0
"""Are the certificates, keys and lists that the configuration names fit for use, and for how long?"""

from collections.abc import Iterator
from datetime import datetime

from service.domain.errors import ConfigurationError
from service.settings import Settings, TlsClientSettings, TlsServerSettings
from service.transport.certificates import certificate_problems, chain_problem
from service.transport.tls import client_context, server_context

TlsSection = TlsServerSettings | TlsClientSettings


def tls_sections(settings: Settings) -> Iterator[tuple[str, TlsSection]]:
    """Yield every TLS section of the configuration, with its place there."""
    if settings.node.tls is not None:
        yield "node.tls", settings.node.tls
    if settings.dicomweb is not None and settings.dicomweb.tls is not None:
        yield "dicomweb.tls", settings.dicomweb.tls
    if settings.http.tls is not None:
        yield "http.tls", settings.http.tls
    for entry in settings.destinations:
        if entry.tls is not None:
            yield f"destinations.{entry.name}.tls", entry.tls
    if settings.audit is not None:
        yield "audit.tls", settings.audit.tls


def security_problems(settings: Settings) -> list[str]:
    """Return what about the files keeps the node from starting."""
    found = ((place, _problem(section)) for place, section in tls_sections(settings))
    return [f"{place}: {problem}" for place, problem in found if problem]


def ending_soon(place: str, section: TlsSection, now: datetime) -> list[str]:
    """Return which files of a section that can be used end within 30 days, or have ended."""
    return [f"{place}: {problem}" for problem in certificate_problems(section, now=now)]


def _problem(section: TlsSection) -> str:
    try:
        if isinstance(section, TlsServerSettings):
            server_context(section)
        else:
            client_context(section)
        return chain_problem(section.certificate) if section.certificate else ""
    except ConfigurationError as error:
        return str(error)
