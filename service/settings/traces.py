# SPDX-License-Identifier: Apache-2.0
"""Section `traces`: where OpenTelemetry spans are sent to."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from service.settings.base import Section


class TraceSettings(Section):
    """Spans of studies, sent by OTLP over HTTP; they name no patient."""

    endpoint: str
    """The collector's URL for traces, for example http://127.0.0.1:4318/v1/traces."""
    timeout_seconds: float = Field(default=5, gt=0, le=60)
    """How long the collector may take to answer; what it did not take is lost, and the log says so."""

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("it must be an http or https URL, for example 'http://127.0.0.1:4318/v1/traces'")
        return value
