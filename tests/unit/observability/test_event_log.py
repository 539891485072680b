# SPDX-License-Identifier: Apache-2.0
"""Log lines name events and places, never a patient."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from service.domain.errors import ConfigurationError
from service.domain.event import (
    AnalysisRefused,
    AssociationRejected,
    Event,
    InstanceReceived,
    NodeStarted,
    ObjectDelivered,
    ObjectHeld,
    PackageLoaded,
    StageFailed,
    StageFinished,
    StudyRouted,
    WorkerRestarted,
)
from service.observability import logs
from service.observability.logs import SPEAKING_LOGGERS, EventLog, LibraryHandler, configure_logging
from service.observability.observer import combine
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
    return EventLog(LogSettings(level="debug"), file=lines)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the process's hooks back afterwards."""
    root = logging.getLogger()
    handlers, number = root.handlers[:], root.level
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    yield
    root.handlers[:] = handlers
    root.setLevel(number)


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pydicom warn of bad values, which our own reader has switched off."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.WARN)


@pytest.fixture
def configured(hooks: None, lines: Lines) -> EventLog:
    return configure_logging(LogSettings(level="debug"), file=lines)


def received(outcome: str, *, modality: str = "CT") -> InstanceReceived:
    return InstanceReceived(
        peer="a", modality=modality, outcome=outcome, size_bytes=1, seconds=0.5, study_key="0123456789ab"
    )


def failed(*, retryable: bool) -> StageFailed:
    return StageFailed(stage="analyse", study_key="", pipeline="", error="PixelError", retryable=retryable)


def delivered(status: str) -> ObjectDelivered:
    return ObjectDelivered(study_key="", destination="a", kind="sr", status=status, seconds=1, lag_seconds=1)


REFUSED = AnalysisRefused(study_key="0123456789ab", pipeline="mammography", reason="no_standard_view")


def test_a_failed_stage_says_where_in_the_code(log: EventLog, lines: Lines) -> None:
    log(replace(failed(retryable=False), detail="KeyError at reading.py:12 > gates.py:7"))
    assert lines.parsed()[0]["detail"] == "KeyError at reading.py:12 > gates.py:7"


def test_an_event_is_one_line_of_its_fields(log: EventLog, lines: Lines) -> None:
    log(received("stored"))
    [line] = lines.parsed()
    assert list(line)[:4] == ["timestamp", "level", "event", "message"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "instance_received",
        "message": "An instance was answered.",
        "peer": "a",
        "modality": "CT",
        "outcome": "stored",
        "size_bytes": 1,
        "seconds": 0.5,
        "association": "",
        "study_key": "0123456789ab",
    }


def test_a_line_break_in_a_field_cannot_forge_a_line(log: EventLog, lines: Lines) -> None:
    log(WorkerRestarted(reason='crashed"}\n{"event": "forged'))
    log(PackageLoaded(package="a", version="1", status="rejected", sha256_8="", error='bad\n{"event": "forged"}'))
    assert [line["event"] for line in lines.parsed()] == ["worker_restarted", "package_loaded"]


def test_a_line_break_in_a_field_makes_no_line_at_a_terminal(lines: Lines) -> None:
    log = EventLog(LogSettings(format="console"), file=lines)
    log(PackageLoaded(package="a", version="1", status="rejected", sha256_8="", error="bad\nforged line"))
    assert len(lines.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    "event",
    [
        ObjectHeld(study_key="", kind="sr", reason=f"'PatientName' is '{MARKER}^TARO'"),
        received("stored", modality=MARKER),
        StudyRouted(study_key="", revision=1, rules=(f"{MARKER} TARO",), pipelines=()),
        WorkerRestarted(reason=f"reading '{MARKER}'"),
    ],
)
def test_text_that_may_quote_a_data_set_is_withheld(log: EventLog, lines: Lines, event: Event) -> None:
    log(event)
    assert MARKER not in lines.getvalue()
    assert len(lines.parsed()) == 1


def test_sentences_about_the_site_are_kept(log: EventLog, lines: Lines) -> None:
    log(NodeStarted(version="0.1.0", ae_title="MY NODE", port=11112))
    log(PackageLoaded(package="a", version="1", status="rejected", sha256_8="", error="the digest is another one"))
    assert lines.parsed()[0]["ae_title"] == "MY NODE"
    assert lines.parsed()[1]["error"] == "the digest is another one"


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (received("stored"), "info"),
        (received("duplicate"), "info"),
        (received("conflict"), "warning"),
        (received("out_of_resources"), "warning"),
        (StageFinished(stage="close", seconds=1, study_key=""), "debug"),
        (AssociationRejected(peer="other", reason="unknown_peer"), "warning"),
        (failed(retryable=True), "warning"),
        (failed(retryable=False), "error"),
        (WorkerRestarted(reason="crashed"), "error"),
        (ObjectHeld(study_key="", kind="sr", reason="rule"), "error"),
        (delivered("stored"), "info"),
        (delivered("refused"), "warning"),
        (delivered("unreachable"), "warning"),
    ],
)
def test_levels_follow_what_went_wrong(log: EventLog, lines: Lines, event: Event, level: str) -> None:
    log(event)
    assert lines.parsed()[0]["level"] == level


def test_lines_below_the_level_are_left_out(lines: Lines) -> None:
    EventLog(LogSettings(level="error"), file=lines)(REFUSED)
    assert lines.getvalue() == ""


def test_a_person_at_a_terminal_gets_text(lines: Lines) -> None:
    EventLog(LogSettings(format="console"), file=lines)(REFUSED)
    assert "analysis_refused" in lines.getvalue()
    assert not lines.getvalue().startswith("{")


def test_event_names_are_snake_case() -> None:
    assert event_name(REFUSED) == "analysis_refused"


def test_what_libraries_say_loses_its_text_and_keeps_its_place(configured: EventLog, lines: Lines) -> None:
    logging.getLogger("pydicom").warning("value %s", MARKER)
    logging.getLogger("sqlalchemy").error(f"INSERT {MARKER}")
    try:
        int(MARKER)
    except ValueError:
        logging.getLogger("dbos").exception(MARKER)
    assert MARKER not in lines.getvalue()
    assert [line["library"] for line in lines.parsed()] == ["pydicom", "sqlalchemy", "dbos"]
    assert [line["level"] for line in lines.parsed()] == ["warning", "error", "error"]
    assert lines.parsed()[2]["error"] == "ValueError"
    assert "test_event_log.py:" in lines.parsed()[0]["place"]


def test_the_same_record_leaks_through_a_stock_handler(configured: EventLog) -> None:
    """Shows that the markers above would be seen if they were written."""
    stock = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(stock))
    logging.getLogger("pydicom").warning("value %s", MARKER)
    assert MARKER in stock.getvalue()


def test_libraries_are_silent_below_warning_even_at_debug(configured: EventLog, lines: Lines) -> None:
    logging.getLogger("pynetdicom").info("received %s", MARKER)
    logging.getLogger("pynetdicom").debug("received %s", MARKER)
    assert lines.getvalue() == ""


def test_a_second_configuration_replaces_the_first(configured: EventLog, lines: Lines) -> None:
    second = Lines()
    configure_logging(LogSettings(), file=second)
    logging.getLogger("pydicom").warning("value")
    assert lines.getvalue() == ""
    assert len(second.parsed()) == 1


def test_warnings_lose_their_text(talkative: None, configured: EventLog, lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        dataset = Dataset()
        dataset.StudyInstanceUID = f"1.2.{MARKER}"
    assert MARKER not in lines.getvalue()
    assert "library_warning" in {line["event"] for line in lines.parsed()}


def test_a_thread_that_dies_leaves_a_line_without_its_text(configured: EventLog, lines: Lines) -> None:
    def die() -> None:
        raise RuntimeError(MARKER)

    thread = threading.Thread(target=die, name="doomed")
    thread.start()
    thread.join()
    [line] = lines.parsed()
    assert (line["event"], line["level"], line["error"]) == ("uncaught_error", "critical", "RuntimeError")
    assert "test_event_log.py:" in line["trace"][-1]
    assert MARKER not in lines.getvalue()


def test_an_uncaught_error_of_ours_keeps_its_text_and_others_do_not(configured: EventLog, lines: Lines) -> None:
    sys.excepthook(RuntimeError, RuntimeError(MARKER), None)
    sys.excepthook(ConfigurationError, ConfigurationError("node.port is taken"), None)
    assert MARKER not in lines.getvalue()
    assert lines.parsed()[1]["message"] == "node.port is taken"


def test_a_broken_data_set_read_by_pydicom_leaves_no_marker(
    talkative: None, configured: EventLog, lines: Lines
) -> None:
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
    assert lines.getvalue()
    assert MARKER not in lines.getvalue()


class BrokenFile(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_is_said_without_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LibraryHandler(EventLog(LogSettings(), file=BrokenFile()))
    handler.handle(logging.makeLogRecord({"name": "pydicom", "levelno": 30, "msg": MARKER}))
    assert "cannot be written" in capsys.readouterr().err


class Deaf:
    def __call__(self, event: Event, /) -> None:
        raise OSError(f"{MARKER} {event}")


@pytest.mark.usefixtures("hooks")
def test_a_listener_that_fails_is_told_in_words_by_the_log(lines: Lines) -> None:
    configure_logging(LogSettings(), file=lines)
    combine(Deaf())(WorkerRestarted(reason="crashed"))
    (line,) = lines.parsed()
    assert (line["level"], line["library"]) == ("error", "service.observability.observer")
    assert line["message"] == "observer Deaf fails with OSError; events are lost to it"
    assert MARKER not in lines.getvalue()


def test_every_logger_of_our_own_is_among_those_that_speak() -> None:
    room = Path(logs.__file__).parents[1]
    own = [path for path in room.rglob("*.py") if "getLogger(__name__)" in path.read_text(encoding="utf-8")]
    names = {".".join(path.relative_to(room.parent).with_suffix("").parts) for path in own}
    assert names == SPEAKING_LOGGERS, "words that nobody is shown; look at what it says, and name it"
