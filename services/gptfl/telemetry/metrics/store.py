"""What goes between a process and a store across a network; `gptfl.store.watch` is its hook."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from gptfl.telemetry.metrics.base import Metric, Recorder

REQUEST_SECONDS = Metric(
    "gptfl_store_request_seconds",
    Histogram,
    ("operation",),
    "Seconds that a request took, its retries included; the count is that of all requests.",
)
RETRIES = Metric(
    "gptfl_store_retries_total",
    Counter,
    ("operation", "reason"),
    "Requests made again, by what was wrong with the one before.",
)
FAILURES = Metric(
    "gptfl_store_failures_total",
    Counter,
    ("operation", "reason"),
    "Requests that were given up, by what was wrong with the last one.",
)
SENT = Metric("gptfl_store_sent_bytes_total", Counter, (), "Bytes of content sent to the store.")
RECEIVED = Metric(
    "gptfl_store_received_bytes_total", Counter, (), "Bytes of content received from the store."
)

METRICS = (REQUEST_SECONDS, RETRIES, FAILURES, SENT, RECEIVED)


class StoreMetrics:
    """A `StoreWatch` that counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = Recorder(registry, METRICS)

    def request(self, operation: str, seconds: float, *, sent: int = 0, received: int = 0) -> None:
        """A request was answered."""
        self._metrics.observe(REQUEST_SECONDS, seconds, operation)
        self._metrics.count(SENT, sent)
        self._metrics.count(RECEIVED, received)

    def retry(self, operation: str, reason: str) -> None:
        """A request is made again."""
        self._metrics.count(RETRIES, 1, operation, reason)

    def failure(self, operation: str, reason: str) -> None:
        """A request was given up."""
        self._metrics.count(FAILURES, 1, operation, reason)
