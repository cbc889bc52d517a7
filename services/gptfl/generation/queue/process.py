"""A worker's process: Celery's worker, with one task at a time in this very process.

One process and no pool of them: the weights are loaded once, the threads that draw share them, and
while a shard is drawn nothing else is taken from the queue.
"""

import contextlib
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import celery
import celery.worker.state
import kombu
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import Reject
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.loops import asynloop

from gptfl.errors import StoreError
from gptfl.generation.queue.broker import (
    TASK,
    VISIBILITY_SECONDS,
    Broker,
    BrokerAwayError,
    celery_app,
)
from gptfl.generation.queue.messages import VersionSkewError
from gptfl.generation.queue.worker import GiveBackError, ShardWorker, UnfitWorkerError

LOOK_SECONDS = 1.0
"""Between two looks at whether there is anything left to do."""
PAUSE_SECONDS = 2.0
"""After a task was given back, so that it is not taken and given back all the time."""

_LOG = logging.getLogger(__name__)


class WorkerProcess:
    """Takes tasks from a queue until there are none any more."""

    def __init__(
        self,
        worker: ShardWorker,
        broker: str,
        queue: str,
        *,
        leave_after: float,
        grace: float,
        visibility_seconds: float = VISIBILITY_SECONDS,
    ) -> None:
        """Ends when the queue has been empty for `leave_after` seconds; when asked to end, goes on
        for at most `grace` seconds with the shard in hand."""
        self._worker, self._queue = worker, queue
        self._broker = Broker(broker, queue)
        self._leave_after, self._grace = leave_after, grace
        self._app = celery_app(broker, queue, visibility_seconds=visibility_seconds)
        self._is_busy = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Returns when nothing is left to do or the process was asked to end.

        Raises a GPTFLError when this worker cannot draw, and KeyboardInterrupt after Ctrl-C.
        """
        self._register()
        logging.getLogger("celery").setLevel(logging.CRITICAL)
        logging.getLogger("kombu").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module="celery")
        threading.Thread(target=self._watch, name="gptfl-leaving", daemon=True).start()
        process = _Process(
            app=self._app,
            pool="solo",
            quiet=True,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            on_signal=self._end,
        )
        _LOG.info("waiting for shards of %s at %s", self._queue, self._broker.address)
        process.start()
        if self._error is not None:
            raise self._error
        if process.exitcode:
            raise UnfitWorkerError(
                "Celery has broken down, as its log says; start the worker again"
            )

    def _register(self) -> None:
        # A task in a closure: it needs this process's worker, and nothing else imports it.
        @self._app.task(name=TASK, acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
        def draw(payload: Any) -> None:
            self._is_busy = True
            try:
                self._worker.handle(payload)
            except GiveBackError as error:
                _LOG.warning("a shard is given back: %s", error)
                self._worker.stop.wait(PAUSE_SECONDS)
                raise Reject(str(error), requeue=True) from error
            except (UnfitWorkerError, VersionSkewError) as error:
                self._error = error
                _stop_taking()
                raise Reject(str(error), requeue=True) from error
            finally:
                self._is_busy = False

    def _watch(self) -> None:
        """Ends the process when the artifact is made, or nothing has come for a while."""
        since = time.monotonic()
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                if self._is_busy or self._broker.size():
                    since = time.monotonic()
                    continue
                is_over = self._worker.is_over
            except (BrokerAwayError, StoreError):
                since = time.monotonic()
                continue
            if is_over or time.monotonic() - since > self._leave_after:
                _LOG.info("nothing is left to draw" if is_over else "no tasks for a while; leaving")
                _stop_taking()
                return

    def _end(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM, as a pod gets it, or Ctrl-C: the shard in hand is finished or given back."""
        _stop_taking()
        grace = self._grace
        if number == signal.SIGINT:
            grace, self._error = 0.0, KeyboardInterrupt()
        timer = threading.Timer(grace, self._worker.stop.set)
        timer.daemon = True
        timer.start()


def _stop_taking() -> None:
    """What Celery's own signal handlers do: the loop ends before it takes another task."""
    celery.worker.state.should_stop = 0


class _Process(CeleryWorker):  # type: ignore[misc]
    """Celery's worker without what it adds to a program: banner, signal handlers, log settings."""

    def __init__(self, *, on_signal: Callable[[int, FrameType | None], None], **given: Any) -> None:
        self._on_signal = on_signal
        super().__init__(consumer_cls=_Consumer, **given)

    def install_platform_tweaks(self, worker: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def setup_logging(self, colorize: bool | None = None) -> bool:
        return True

    def set_process_status(self, info: str) -> None:
        """The process keeps its name."""


def _loop(*given: Any) -> None:
    """Celery's loop; bytes in the queue that are no message at all, which it does not expect, cost
    a new connection. They have left the queue by then."""
    try:
        asynloop(*given)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        _LOG.warning("a message is dropped: %s", error)
        raise ConnectionError(str(error)) from error


class _Consumer(CeleryConsumer):  # type: ignore[misc]
    """Says in a line what Celery says in a page, and once what it says at each attempt."""

    loop = staticmethod(_loop)
    _is_away = False

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        self._away(exc)
        with contextlib.suppress(Exception):  # it is broken, however it may close
            self.connection.collect()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._away(exc)

    def ensure_connected(self, conn: kombu.Connection) -> kombu.Connection:
        """Waits for ever, as long as nobody asks the process to end."""
        conn = conn.ensure_connection(
            lambda error, _: self._away(error),
            interval_start=0.2,
            interval_step=0.5,
            interval_max=5,
            callback=celery.worker.state.maybe_shutdown,
        )
        if self._is_away:
            _LOG.warning("the broker is back")
        self._is_away = False
        return conn

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._drop(message, "it is no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, f"there is no task {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, str(exc))

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._drop(message, str(exc))

    def _drop(self, message: Any, reason: str) -> None:
        _LOG.warning("a message is dropped: %s", reason)
        message.reject_log_error(_LOG, self.connection_errors)

    def _away(self, error: Exception) -> None:
        if not self._is_away:
            said = " ".join(str(error).split())
            _LOG.warning("waiting for the broker %s (%s)", self.conninfo.as_uri(), said)
        self._is_away = True
