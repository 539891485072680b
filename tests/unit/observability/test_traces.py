# SPDX-License-Identifier: Apache-2.0
"""Events of a study become spans of one trace, without anything that names a patient; a real collector gets them."""

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from harness.span_collector import span_collector
from service.bootstrap.tracing import trace_problems
from service.domain import event as events
from service.domain.event import Event
from service.observability.traces import SPANS, TOLD, TellingExporter, open_traces, trace_id_of
from service.settings import Settings, TraceSettings

SETTINGS = TraceSettings(endpoint="http://127.0.0.1:9/v1/traces")
STUDY: tuple[Event, ...] = (
    events.InstanceReceived(
        peer="ct", modality="CT", outcome="stored", size_bytes=5, seconds=0.25, study_key="k1", association="a7"
    ),
    events.StudyClosed(study_key="k1", revision=1, instances=1, reason="complete", waited_seconds=2.0),
    events.StageFinished(stage="analyse", seconds=3.0, study_key="k1", pipeline="diffuse_lung"),
    events.StageFailed(
        stage="deliver", study_key="k1", pipeline="", error="NetworkError", retryable=True, detail="10.0.0.9 YAMADA"
    ),
    events.ObjectDelivered(study_key="k1", destination="pacs", kind="sr", status="stored", seconds=0.1, lag_seconds=2),
    events.InstanceReceived(peer="ct", modality="CT", outcome="stored", size_bytes=5, seconds=0.1, study_key="k2"),
)


def spans_of(happened: tuple[Event, ...]) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    traces = open_traces(SETTINGS, version="1", observer=lambda _event: None, exporter=exporter)
    for event in happened:
        traces(event)
    traces.close()
    return exporter.get_finished_spans()


def test_everything_of_a_study_is_in_its_trace() -> None:
    spans = spans_of(STUDY)
    assert [span.name for span in spans] == ["receive", "close", "analyse", "deliver", "deliver", "receive"]
    own, other = trace_id_of("k1"), trace_id_of("k2")
    assert [span.context.trace_id for span in spans] == [own] * 5 + [other]
    assert len({span.parent.span_id for span in spans[:5] if span.parent}) == 1


def test_a_span_is_as_long_as_its_event() -> None:
    received, closed, *_ = spans_of(STUDY)
    assert received.end_time is not None and received.start_time is not None  # noqa: PT018
    assert received.end_time - received.start_time == 250_000_000
    assert closed.end_time is not None and closed.start_time is not None  # noqa: PT018
    assert closed.end_time - closed.start_time == 2_000_000_000


def test_attributes_are_names_and_words_alone() -> None:
    spans = spans_of(STUDY)
    assert dict(spans[0].attributes or {}) == {
        "peer": "ct",
        "modality": "CT",
        "outcome": "stored",
        "study_key": "k1",
        "association": "a7",
    }
    failed = spans[3]
    assert failed.status.status_code is StatusCode.ERROR
    assert "YAMADA" not in str(failed.attributes)
    assert not {"detail", "address", "calling_ae", "problem"} & TOLD


def test_what_belongs_to_no_study_makes_no_span() -> None:
    assert spans_of((events.AssociationAccepted(peer="ct"), events.NodeStopping(reason="SIGTERM"))) == ()


def test_every_span_has_an_event_with_its_fields() -> None:
    for kind, (name, length) in SPANS.items():
        assert "study_key" in kind.__dataclass_fields__
        assert not length or length in kind.__dataclass_fields__
        assert name or "stage" in kind.__dataclass_fields__


def test_spans_reach_a_collector() -> None:
    with span_collector() as (endpoint, got):
        traces = open_traces(TraceSettings(endpoint=endpoint), version="9.9", observer=lambda _event: None)
        for event in STUDY:
            traces(event)
        traces.close()
    spans = [span for request in got for part in request.resource_spans for s in part.scope_spans for span in s.spans]
    assert [span.name for span in spans] == ["receive", "close", "analyse", "deliver", "deliver", "receive"]
    resource = {item.key: item.value.string_value for item in got[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.version"]) == ("dokuei", "9.9")


def test_traces_are_off_unless_asked_for_and_want_an_address() -> None:
    assert Settings.model_fields["traces"].default is None
    with pytest.raises(ValueError, match="endpoint"):
        TraceSettings(endpoint="collector:4318")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trace_problems(SETTINGS) == []
    monkeypatch.setattr("service.bootstrap.tracing.find_spec", lambda _name: None)
    (problem,) = trace_problems(SETTINGS)
    assert problem == "traces: OpenTelemetry is not installed; install the extra 'otel', or remove traces"
    assert trace_problems(None) == []


def test_a_collector_that_is_away_is_told_once_and_so_is_its_return() -> None:
    results = [SpanExportResult.FAILURE] * 3 + [SpanExportResult.SUCCESS] * 2

    class Away(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            return results.pop(0)

    told: list[Event] = []
    exporter = TellingExporter(Away(), told.append)
    while results:
        exporter.export(())
    assert told == [events.TraceCollectorChanged(takes_spans=False), events.TraceCollectorChanged(takes_spans=True)]


def test_a_collector_that_never_answers_does_not_keep_the_node_from_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.observability.traces.CLOSE_SECONDS", 0.2)
    let_go = threading.Event()

    class Silent(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            let_go.wait(60)
            return super().export(spans)

    exporter = Silent()
    traces = open_traces(SETTINGS, version="1", observer=lambda _event: None, exporter=exporter)
    traces(STUDY[0])
    traces.close()
    assert exporter.get_finished_spans() == (), "it waited for the collector"
    let_go.set()
