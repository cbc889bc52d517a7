"""What a client of a federation counts: the process at the data owner's."""

import copy
import time
from collections.abc import Callable
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gptfl.telemetry.metrics.base import Metric, Recorder

INFO = Metric(
    "gptfl_client_info",
    Gauge,
    ("client",),
    "Always 1; `client` is the name of the one client that this process is.",
)
CONNECTED = Metric(
    "gptfl_client_connected",
    Gauge,
    (),
    "Open streams to the aggregator: 1 or 0, and more where one process is several clients.",
)
CONNECTIONS = Metric(
    "gptfl_client_connections_total", Counter, (), "Streams opened; all but the first are again."
)
TASKS = Metric("gptfl_client_tasks_total", Counter, (), "Tasks whose reply was sent.")
TASK_SECONDS = Metric(
    "gptfl_client_task_seconds",
    Histogram,
    (),
    "Seconds from a task's arrival until its reply was sent.",
)
SENT = Metric(
    "gptfl_client_sent_bytes_total", Counter, (), "Bytes of replies that left this machine."
)
RECEIVED = Metric(
    "gptfl_client_received_bytes_total", Counter, (), "Bytes of tasks that came to this machine."
)

METRICS = (INFO, CONNECTED, CONNECTIONS, TASKS, TASK_SECONDS, SENT, RECEIVED)


class ClientMetrics:
    """Told by `gptfl.federation.network.serve_tasks` as its `ClientEvents`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        client: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` is the name of the one client in this process, if it is one."""
        self._metrics = Recorder(registry, METRICS)
        if client is not None:
            self._metrics.set(INFO, 1, client)
        self._clock = clock
        self._is_connected = False
        self._arrived: dict[str, float] = {}

    def another(self) -> Self:
        """For another client in this process: the same metrics, a stream of its own."""
        other = copy.copy(self)
        other._is_connected, other._arrived = False, {}
        return other

    def connected(self, server: str, node: int) -> None:
        """The stream is open."""
        self._metrics.count(CONNECTIONS, 1)
        self._turn(is_connected=True)

    def disconnected(self, reason: str, retry_seconds: float) -> None:
        """The stream is not open; it may never have been."""
        self._turn(is_connected=False)

    def _turn(self, *, is_connected: bool) -> None:
        self._metrics.count(CONNECTED, is_connected - self._is_connected)
        self._is_connected = is_connected

    def task_received(self, task: str, size: int) -> None:
        """A task is here."""
        self._arrived[task] = self._clock()
        self._metrics.count(RECEIVED, size)

    def reply_sent(self, task: str, size: int) -> None:
        """Its reply has left."""
        self._metrics.count(SENT, size)
        arrived = self._arrived.pop(task, None)
        if arrived is not None:
            self._metrics.count(TASKS, 1)
            self._metrics.observe(TASK_SECONDS, self._clock() - arrived)
        # Those that are older were given up: a client does one task after another.
        self._arrived.clear()
