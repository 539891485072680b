# SPDX-License-Identifier: Apache-2.0
"""Log lines name events and places, never a patient."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from service.domain.event import (
    AnalysisRefused,
    Event,
    InstanceReceived,
    ObjectDelivered,
    StageFinished,
    WorkerRestarted,
)
from service.observability.logs import EventLog, capture_libraries
from service.observability.metrics import Metrics
from service.observability.observer import LoggingObserver
from service.observability.sentences import event_name
from service.settings import LogSettings

MARKER = "ZZMARKER"


class Lines(io.StringIO):
    def parsed(self) -> list[dict]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines) -> EventLog:
    return EventLog(LogSettings(level="debug"), lines)


@pytest.fixture
def captured(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's hooks, set by capture_libraries and put back afterwards."""
    root = logging.getLogger()
    handlers, number = root.handlers[:], root.level
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    capture_libraries(log)
    yield
    root.handlers[:] = handlers
    root.setLevel(number)


def received(outcome: str) -> InstanceReceived:
    return InstanceReceived(peer="a", modality="CT", outcome=outcome, size_bytes=1, seconds=1, study_key="")


REFUSED = AnalysisRefused(study_key="0123456789ab", pipeline="mammography", reason="no_standard_view")


def test_an_event_is_one_line_of_json(log: EventLog, lines: Lines) -> None:
    log(REFUSED)
    [line] = lines.parsed()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "analysis_refused",
        "level": "warning",
        "message": "A study was not analysed; the result says so too.",
        "study_key": "0123456789ab",
        "pipeline": "mammography",
        "reason": "no_standard_view",
    }


def test_a_line_break_in_a_field_cannot_forge_a_line(log: EventLog, lines: Lines) -> None:
    log(WorkerRestarted(reason='crashed"}\n{"event": "forged'))
    assert len(lines.parsed()) == 1


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (InstanceReceived(peer="a", modality="CT", outcome="stored", size_bytes=1, seconds=1, study_key=""), "info"),
        (
            InstanceReceived(peer="a", modality="CT", outcome="conflict", size_bytes=1, seconds=1, study_key=""),
            "warning",
        ),
        (StageFinished(stage="close", seconds=1, study_key=""), "debug"),
        (
            ObjectDelivered(study_key="", destination="a", kind="sr", status="refused", seconds=1, lag_seconds=1),
            "warning",
        ),
    ],
)
def test_levels_follow_what_went_wrong(log: EventLog, lines: Lines, event: Event, level: str) -> None:
    log(event)
    assert lines.parsed()[0]["level"] == level


def test_lines_below_the_level_are_left_out(lines: Lines) -> None:
    EventLog(LogSettings(level="error"), lines)(REFUSED)
    assert lines.getvalue() == ""


def test_a_person_at_a_terminal_gets_text(lines: Lines) -> None:
    EventLog(LogSettings(format="console"), lines)(REFUSED)
    assert "analysis_refused" in lines.getvalue()
    assert not lines.getvalue().startswith("{")


def test_event_names_are_snake_case() -> None:
    assert event_name(REFUSED) == "analysis_refused"


@pytest.mark.usefixtures("captured")
def test_what_libraries_say_loses_its_text_and_keeps_its_place(lines: Lines) -> None:
    logging.getLogger("pydicom").warning("value %s", MARKER)
    logging.getLogger("sqlalchemy").error(f"INSERT {MARKER}")
    try:
        int(MARKER)
    except ValueError:
        logging.getLogger("dbos").exception(MARKER)
    assert MARKER not in lines.getvalue()
    assert [line["logger"] for line in lines.parsed()] == ["pydicom", "sqlalchemy", "dbos"]
    assert lines.parsed()[2]["error"] == "ValueError"
    assert "test_event_log.py:" in lines.parsed()[0]["place"]


@pytest.mark.usefixtures("captured")
def test_warnings_lose_their_text(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        dataset = Dataset()
        dataset.StudyInstanceUID = f"1.2.{MARKER}"
    assert MARKER not in lines.getvalue()
    assert "library_warning" in {line["event"] for line in lines.parsed()}


@pytest.mark.usefixtures("captured")
def test_a_thread_that_dies_leaves_a_line_without_its_text(lines: Lines) -> None:
    def die() -> None:
        raise RuntimeError(MARKER)

    thread = threading.Thread(target=die, name="doomed")
    thread.start()
    thread.join()
    [line] = lines.parsed()
    assert (line["event"], line["thread"], line["error"]) == ("uncaught_exception", "doomed", "RuntimeError")
    assert MARKER not in lines.getvalue()


@pytest.mark.usefixtures("captured")
def test_an_uncaught_exception_leaves_a_line_without_its_text(lines: Lines) -> None:
    sys.excepthook(RuntimeError, RuntimeError(MARKER), None)
    assert lines.parsed()[0]["error"] == "RuntimeError"
    assert MARKER not in lines.getvalue()


@pytest.mark.usefixtures("captured")
def test_a_broken_data_set_read_by_pydicom_leaves_no_marker(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        dataset = Dataset()
        dataset.PatientName = MARKER
        dataset.add_new("PatientBirthDate", "DA", MARKER)
        dataset.add_new("InstanceNumber", "IS", "1")
        buffer = DicomBytesIO()
        dataset.save_as(buffer, implicit_vr=False, little_endian=True)
        buffer.seek(0)
        str(dcmread(buffer, force=True))
    assert MARKER not in lines.getvalue()


class BrokenStream(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_under_the_log_does_not_fail_the_caller() -> None:
    registry = CollectorRegistry()
    observer = LoggingObserver(EventLog(LogSettings(), BrokenStream()), Metrics(registry))
    observer(REFUSED)
    assert registry.get_sample_value("dokuei_observer_failures_total") == 1
    labels = {"pipeline": "mammography", "reason": "no_standard_view"}
    assert registry.get_sample_value("dokuei_analysis_refused_total", labels) == 1
