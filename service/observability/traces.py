# SPDX-License-Identifier: Apache-2.0
"""What happens to a study as OpenTelemetry spans: one trace for each study, from its images to their delivery.

The events that become log lines and metrics become spans too; nothing else knows of tracing. Every span of a study is
in the trace that follows from its `study_key`, so that nothing needs to be carried through the queue, and a study that
goes on after a restart goes on in its trace. The library is an extra (`otel`): nothing imports this module unless
`traces` in config.yaml asks for it.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from service.domain import event as events
from service.domain.event import Event
from service.ports import Observer
from service.settings import TraceSettings

SPANS: Final[Mapping[type[Event], tuple[str, str]]] = {
    events.InstanceReceived: ("receive", "seconds"),
    events.AdmissionRefused: ("refuse", ""),
    events.QuarantineEntered: ("quarantine", ""),
    events.StudyClosed: ("close", "waited_seconds"),
    events.StudyRouted: ("route", ""),
    events.StageFinished: ("", "seconds"),
    events.StageFailed: ("", ""),
    events.AnalysisRefused: ("gate", ""),
    events.PriorityRaised: ("raise priority", ""),
    events.ResultReady: ("study", "turnaround_seconds"),
    events.ObjectHeld: ("hold object", ""),
    events.ResultsSuperseded: ("supersede", ""),
    events.ObjectDelivered: ("deliver", "seconds"),
    events.ShadowCompared: ("shadow", "seconds"),
    events.PriorSettled: ("fetch prior", "seconds"),
    events.DataDeleted: ("delete", ""),
}
"""Name of the span (empty: the event's stage) and the field with its length (empty: a moment), by event of a study."""
TOLD: Final = frozenset(
    {
        "association",
        "destination",
        "error",
        "kind",
        "modality",
        "outcome",
        "package",
        "package_version",
        "peer",
        "pipeline",
        "priority",
        "reason",
        "result",
        "retryable",
        "stage",
        "status",
        "study_key",
    }
)
"""Fields that become attributes: names of config.yaml and words from closed sets, as in metrics; never free text."""
CLOSE_SECONDS: Final = 5.0
_NANOSECONDS: Final = 1_000_000_000


class Traces:
    """An observer that passes spans on in batches, beside the work; `close` sends what waits."""

    def __init__(self, provider: TracerProvider, *, clock: Callable[[], float] = time.time) -> None:
        self._provider, self._clock = provider, clock
        self._tracer = provider.get_tracer("dokuei")

    def __call__(self, event: Event, /) -> None:
        """Turn an event of a study into a span that ends now."""
        found = SPANS.get(type(event))
        key = str(getattr(event, "study_key", ""))
        if found is None or not key:
            return
        name, length = found
        told = _attributes(event)
        end = int(self._clock() * _NANOSECONDS)
        start = end - int(getattr(event, length) * _NANOSECONDS) if length else end
        span = self._tracer.start_span(
            name or str(told.get("stage", "stage")), context=_of_study(key), start_time=start, attributes=told
        )
        if isinstance(event, events.StageFailed):
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=end)

    def close(self) -> None:
        """Send what waits; a collector that does not answer costs `CLOSE_SECONDS`, and what waits is lost."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)


class TellingExporter(SpanExporter):
    """Says once that a collector takes no spans, and once that it does again; the library says it for each batch."""

    def __init__(self, exporter: SpanExporter, observer: Observer) -> None:
        self._exporter, self._observer, self._failed = exporter, observer, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass a batch on."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed is not self._failed:
            self._failed = failed
            self._observer(events.TraceCollectorChanged(takes_spans=not failed))
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()


def open_traces(
    settings: TraceSettings, *, version: str, observer: Observer, exporter: SpanExporter | None = None
) -> Traces:
    """Start tracing to the collector of the settings; spans wait in memory, 2,048 at most, and go in batches."""

    resource = Resource.create({"service.name": "dokuei", "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    chosen = exporter or OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_seconds)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # TellingExporter says what went wrong, once
    provider.add_span_processor(BatchSpanProcessor(TellingExporter(chosen, observer)))
    return Traces(provider)


def trace_id_of(study_key: str) -> int:
    """Return the trace of a study: 128 bits that follow from its key."""
    return int.from_bytes(hashlib.sha256(f"trace {study_key}".encode()).digest()[:16])


def _of_study(study_key: str) -> Context:
    """Return the context of a study's trace: a parent that nobody sends, the same for all of its spans."""

    parent = int.from_bytes(hashlib.sha256(f"study {study_key}".encode()).digest()[:8])
    context = trace.SpanContext(
        trace_id=trace_id_of(study_key),
        span_id=parent,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))


def _attributes(event: Event) -> dict[str, str | bool]:
    values = {field.name: getattr(event, field.name) for field in fields(event) if field.name in TOLD}
    return {name: value for name, value in values.items() if isinstance(value, str | bool) and value != ""}
