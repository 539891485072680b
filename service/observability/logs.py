# SPDX-License-Identifier: Apache-2.0
"""Log lines: one event per line, and nothing of what libraries say but who said it and where.

Messages of pydicom, SQLAlchemy and others quote values of data sets. Of a foreign log record, a warning or an uncaught
exception a line therefore keeps the place in the source, which says what happened, and drops the text.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service.domain.errors import DokueiError
from service.domain.event import Event
from service.observability.sentences import event_name, level, safe_fields, sentence
from service.settings import LogSettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FIRST = ("timestamp", "level", "event", "message")
SPEAKING_LOGGERS = frozenset({"service.observability.gpu", "service.observability.observer"})
"""The loggers whose messages are printed: closed, and each writes names of types alone."""
WITHHELD = "A library said something here; its words are withheld because they may quote a patient's data."


class EventLog:
    """Writes events as lines of JSON, or of text for a person at a terminal; an `Observer`, safe in any thread."""

    def __init__(self, settings: LogSettings, *, file: TextIO) -> None:
        self._logger = _logger(settings, file)

    def __call__(self, event: Event, /) -> None:
        """Log the event: its name, a sentence, and its fields."""
        number = level(event)
        if self._logger.is_enabled_for(number):
            self._logger.log(number, event_name(event), message=sentence(event), **safe_fields(event))

    def library(self, name: str, number: int, /, *, message: str = WITHHELD, **fields: object) -> None:
        """Log what is no event of ours, by where it comes from."""
        self._logger.log(number, name, message=message, **fields)


def configure_logging(settings: LogSettings, *, file: TextIO | None = None) -> EventLog:
    """Return the log of events, on `file` or standard error, and let every library speak through it.

    For the start of a process: it replaces the root logger's handlers and the hooks of `warnings`, `sys` and
    `threading`. A later call replaces what an earlier one did.
    """
    log = EventLog(settings, file=file or sys.stderr)
    root = logging.getLogger()
    root.handlers[:] = [LibraryHandler(log)]
    root.setLevel(logging.WARNING)
    warnings.showwarning = _warning_hook(log)
    sys.excepthook = _exception_hook(log)
    threading.excepthook = _thread_hook(log)
    return log


class LibraryHandler(logging.Handler):
    """Logs who logged something, how grave it is and where in the source, without the message."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's place, and its exception's type and trace."""
        try:
            self._log.library(
                "library_log",
                record.levelno,
                message=record.getMessage() if record.name in SPEAKING_LOGGERS else WITHHELD,
                library=record.name,
                place=_place(record.pathname, record.lineno),
                **_exception_fields(record.exc_info),
            )
        except (OSError, ValueError):
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's own signature
        """Say that the log cannot be written; the stock method prints the record's arguments."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write("the log cannot be written; check the disk or whatever reads it\n")


def _exception_fields(
    info: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None,
) -> dict[str, object]:
    if not info or info[0] is None:
        return {}
    return {"error": info[0].__name__, "trace": _places(info[2])}


def _warning_hook(log: EventLog) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        del message
        log.library("library_warning", logging.WARNING, category=category.__name__, place=_place(filename, lineno))

    return show


def _exception_hook(
    log: EventLog,
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # Our own errors never name a patient: a house rule. Anybody else's may.
        text = str(error) if isinstance(error, DokueiError) else WITHHELD
        log.library("uncaught_error", logging.CRITICAL, message=text, error=kind.__name__, trace=_places(trace))

    return hook


def _thread_hook(log: EventLog) -> Callable[[threading.ExceptHookArgs], None]:
    hook = _exception_hook(log)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        hook(arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback)

    return thread_hook


def _place(filename: str, line: int) -> str:
    return f"{'/'.join(Path(filename).parts[-3:])}:{line}"


def _places(trace: TracebackType | None) -> list[str]:
    return [_place(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(trace)]


def _logger(settings: LogSettings, file: TextIO) -> FilteringBoundLogger:
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if settings.format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=file.isatty())
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(file),
        processors=[structlog.processors.add_log_level, stamp, _in_order, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        cache_logger_on_first_use=True,
    )
    return logger


def _in_order(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Put what every line has in front: for people, and for tools that cut columns."""
    return {name: fields[name] for name in FIRST} | dict(fields)
