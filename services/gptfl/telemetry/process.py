"""How one process can be seen from outside: its metrics on a port, its log in a form."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from gptfl.telemetry.events import Listener
from gptfl.telemetry.logs import LogFormat, logged

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from gptfl.store import Store
    from gptfl.telemetry.exposition import Exposition

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TelemetrySettings:
    """What a command's options say."""

    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_linger: float | None = None
    """Seconds; None is for those alone who have scraped before."""
    log_format: LogFormat = LogFormat.TEXT
    log_level: str = "info"


@dataclass(frozen=True)
class Telemetry:
    """What a command needs in order to be seen."""

    settings: TelemetrySettings
    command: str
    """What the process does, such as `gptfl run`."""

    @cached_property
    def registry(self) -> "CollectorRegistry":
        """The metrics of this process, whether they are served or not."""
        from gptfl.telemetry.metrics.process import open_registry

        return open_registry(self.command)

    @property
    def logs_json(self) -> bool:
        """Whether standard error belongs to records alone: no progress, no banners."""
        return self.settings.log_format is LogFormat.JSON

    def watch(self, store: "Store") -> None:
        """Counts what goes between this process and a store, if somebody may ask."""
        if self.settings.metrics_port is None:
            return
        from gptfl.telemetry.metrics.store import StoreMetrics

        store.blobs.watch(StoreMetrics(self.registry))

    def listeners(self) -> list[Listener]:
        """Those who want to be told the events of a run."""
        listeners: list[Listener] = []
        if self.settings.metrics_port is not None:
            from gptfl.telemetry.metrics.run import RunMetrics

            listeners.append(RunMetrics(self.registry))
        if self.logs_json:
            from gptfl.telemetry.eventlog import EventLog

            listeners.append(EventLog())
        return listeners


@contextmanager
def open_telemetry(settings: TelemetrySettings, command: str) -> Iterator[Telemetry]:
    """Serves metrics and writes the log while the block lasts, and at its end until Prometheus has
    the last values, unless it was interrupted.

    Raises SpecError when the port cannot be had.
    """
    telemetry = Telemetry(settings, command)
    with logged(settings.log_format, settings.log_level):
        if settings.metrics_port is None:
            yield telemetry
            return
        from gptfl.telemetry.exposition import exposed

        with exposed(telemetry.registry, settings.metrics_port, settings.metrics_host) as metrics:
            try:
                yield telemetry
            except BaseException as end:
                if not _is_interrupt(end):
                    _linger(metrics, settings.metrics_linger)
                raise
            _linger(metrics, settings.metrics_linger)


def _is_interrupt(end: BaseException) -> bool:
    """Whether a person, or who ends pods, wants the process to end now."""
    if isinstance(end, SystemExit):
        return end.code == 128 + signal.SIGINT  # as shells say it, and the command line
    return isinstance(end, KeyboardInterrupt)


def _linger(metrics: "Exposition", seconds: float | None) -> None:
    """Waits for the last scrape; SIGTERM and SIGINT end the wait and nothing else."""
    wait = metrics.patience(seconds)
    if not wait:
        return
    _LOG.warning("waiting up to %g s until the last metrics are scraped; Ctrl-C ends it", wait)
    try:
        with _interrupts():
            metrics.await_scrapes(wait)
    except KeyboardInterrupt:
        _LOG.warning("the last metrics may not have been scraped")


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt, whatever the command did with them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, _interrupt) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
