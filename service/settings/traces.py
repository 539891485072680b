# SPDX-License-Identifier: Apache-2.0
"""Section `traces`: where OpenTelemetry spans are sent to."""

from pydantic import Field

from service.settings.base import Section


class TraceSettings(Section):
    """Spans of studies, sent by OTLP over HTTP; they name no patient."""

    endpoint: str = Field(pattern=r"^https?://\S+$")
    """For example http://127.0.0.1:4318/v1/traces."""
    timeout_seconds: float = Field(default=5, gt=0, le=60)
    """How long the collector may take to answer; what it did not take is lost, and the log says so."""
