"""Log records of a process as lines on standard error: for people, or one JSON object each.

Only gptfl's own loggers follow the level that is asked for. Other packages are heard from warnings
on: what they say below that may hold signed addresses and keys.
"""

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from gptfl.telemetry.context import current


class LogFormat(StrEnum):
    """How a record is written."""

    TEXT = "text"
    JSON = "json"


LEVELS = ("debug", "info", "warning", "error")
_PASSWORD = re.compile(r'(?<=://)[^/\s"]+@')
"""User and password in an address, as a broker's may have them."""


@contextmanager
def logged(form: LogFormat, level: str) -> Iterator[None]:
    """Sends the records of this process to standard error while the block lasts.

    With JSON, whatever else is written to standard error, by whomever, becomes a record too.
    """
    root, ours = logging.getLogger(), logging.getLogger("gptfl")
    handler = _handler(form)
    with ExitStack() as until_then:
        until_then.callback(root.setLevel, root.level)
        until_then.callback(ours.setLevel, ours.level)
        until_then.callback(root.removeHandler, handler)
        root.setLevel(logging.WARNING)
        ours.setLevel(level.upper())
        root.addHandler(handler)
        if form is LogFormat.JSON:
            logging.captureWarnings(True)
            until_then.callback(logging.captureWarnings, False)
            until_then.callback(setattr, threading, "excepthook", threading.excepthook)
            threading.excepthook = _a_thread_died
            until_then.enter_context(redirect_stderr(_StrayLines()))
        yield


def _a_thread_died(end: threading.ExceptHookArgs) -> None:
    error = end.exc_value or end.exc_type()
    logging.getLogger("gptfl").error("a thread has died", exc_info=error)


def _handler(form: LogFormat) -> logging.Handler:
    if form is LogFormat.TEXT:
        text = _TextHandler()
        text.setFormatter(TextFormatter())
        return text
    records = _JsonHandler(sys.stderr)
    records.setFormatter(JsonFormatter())
    return records


def are_json() -> bool:
    """Whether records are JSON, so that a warning is one more of them and spoils no screen."""
    return any(isinstance(one.formatter, JsonFormatter) for one in logging.getLogger().handlers)


class TextFormatter(logging.Formatter):
    """A line for people, and the traceback below it when there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a record: the fields of `docs/observability.md`."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **current(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            said["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            said["traceback"] = self.formatException(record.exc_info)
        return without_passwords(json.dumps(said, ensure_ascii=False, default=str))


def _time(record: logging.LogRecord) -> str:
    """RFC 3339, to the millisecond."""
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def without_passwords(text: str) -> str:
    """The text, with what stands before the host of an address taken out."""
    return _PASSWORD.sub("…@", text)


class _TextHandler(logging.StreamHandler[TextIO]):
    """Writes to what is standard error just then: a live screen lets lines through above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Writes to the standard error that there was before stray lines were caught."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # Nobody reads any more; to say so would end here again.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _StrayLines(io.TextIOBase):
    """Stands for standard error where only records may be: each line written becomes one."""

    def __init__(self) -> None:
        self._log = logging.getLogger("stderr")
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = re.split(r"[\r\n]", self._begun + text)
        for line in filter(str.strip, lines):
            self._log.warning("%s", line)
        return len(text)
