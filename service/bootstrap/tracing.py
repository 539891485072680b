# SPDX-License-Identifier: Apache-2.0
"""Opens the traces that config.yaml asks for; OpenTelemetry is an extra, and is loaded for nobody else."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from service import __version__
from service.ports import Observer
from service.settings import TraceSettings

if TYPE_CHECKING:
    from service.observability.traces import Traces


def trace_problems(settings: TraceSettings | None) -> list[str]:
    """Return what is missing for tracing."""
    if settings is None or find_spec("opentelemetry") is not None:
        return []
    return ["traces: OpenTelemetry is not installed; install the extra 'otel', or remove traces"]


def opened_traces(settings: TraceSettings | None, observer: Observer) -> "list[Traces]":
    """Return the observer that makes spans; none where nobody asked."""
    if settings is None:
        return []
    from service.observability.traces import open_traces  # noqa: PLC0415 - its library may not be there

    return [open_traces(settings, version=__version__, observer=observer)]
