# SPDX-License-Identifier: Apache-2.0
"""Log lines: one event per line, and nothing of what libraries say but where they said it.

Messages of pydicom, SQLAlchemy and others quote values of data sets. From a foreign logger, a warning or an uncaught
exception, a line therefore keeps the place in the source, which says what happened, and drops the text.
"""

import logging
import sys
import threading
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from service.domain.event import Event
from service.observability.sentences import event_name, level, sentence
from service.settings import LogSettings

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class EventLog:
    """Writes events as lines of JSON, or of text for a person at a terminal."""

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        self._logger = _logger(settings, stream or sys.stderr)

    def __call__(self, event: Event, /) -> None:
        """Log the event: its name, a sentence, and its fields."""
        self._logger.log(level(event), event_name(event), message=sentence(event), **asdict(event))

    def library(self, name: str, number: int, /, **fields: Any) -> None:
        """Log what a library said, by where it said it."""
        self._logger.log(number, name, **fields)


def capture_libraries(log: EventLog) -> None:
    """Send the warnings, log records and uncaught exceptions of all libraries to `log`, without their text.

    For the process's start: it replaces the root logger's handlers and the hooks of `sys`, `threading`, `warnings`.
    """
    root = logging.getLogger()
    root.handlers[:] = [LibraryHandler(log)]
    root.setLevel(logging.WARNING)
    warnings.showwarning = _warning_hook(log)
    sys.excepthook = _exception_hook(log)
    threading.excepthook = _thread_hook(log)


class LibraryHandler(logging.Handler):
    """A logging handler that keeps the place and drops the message."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's place, and its exception's type."""
        kind = record.exc_info[0] if record.exc_info else None
        self._log.library(
            "library_log",
            record.levelno,
            logger=record.name,
            place=_place(record.pathname, record.lineno),
            error=kind.__name__ if kind else "",
        )


def _warning_hook(log: EventLog) -> Any:
    def show(_message: Warning | str, category: type[Warning], filename: str, lineno: int, *_rest: Any) -> None:
        log.library("library_warning", logging.WARNING, category=category.__name__, place=_place(filename, lineno))

    return show


def _exception_hook(log: EventLog) -> Any:
    def hook(kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> None:
        log.library("uncaught_exception", logging.CRITICAL, error=kind.__name__, trace=_places(trace))

    return hook


def _thread_hook(log: EventLog) -> Any:
    def hook(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread else ""
        places = _places(arguments.exc_traceback)
        log.library(
            "uncaught_exception", logging.CRITICAL, thread=name, error=arguments.exc_type.__name__, trace=places
        )

    return hook


def _place(filename: str, line: int) -> str:
    parts = Path(filename).parts[-3:]
    return f"{'/'.join(parts)}:{line}"


def _places(trace: TracebackType | None) -> list[str]:
    return [_place(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(trace)]


def _logger(settings: LogSettings, stream: TextIO) -> FilteringBoundLogger:
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        cache_logger_on_first_use=True,
    )
    return logger
