"""What a server of a model counts, beside what KServe's own classes do."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gptfl.telemetry.metrics.base import Metric, Recorder

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds for what a client waits for."""

REQUESTS = Metric(
    "gptfl_serving_requests_total",
    Counter,
    ("model", "protocol", "outcome"),
    "Requests for predictions in `v1`, `v2` or `grpc` by how they ended: answered, refused (the "
    "request was wrong), busy (too many, or stopping) or failed (a fault of the server).",
)
REQUEST_SECONDS = Metric(
    "gptfl_serving_request_seconds",
    Histogram,
    ("model", "protocol"),
    "Seconds from a whole request to its answer, for those that were answered.",
    buckets=SHORT_SECONDS,
)
BATCH_ROWS = Metric(
    "gptfl_serving_batch_rows",
    Histogram,
    ("model",),
    "Images that the model saw in one pass.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
PASS_SECONDS = Metric(
    "gptfl_serving_pass_seconds",
    Histogram,
    ("model",),
    "Seconds that one pass took.",
    buckets=SHORT_SECONDS,
)
WAITING = Metric(
    "gptfl_serving_waiting_requests",
    Gauge,
    ("model",),
    "Requests that the last pass had no room for.",
)

METRICS = (REQUESTS, REQUEST_SECONDS, BATCH_ROWS, PASS_SECONDS, WAITING)


class ServingMetrics:
    """Told by the server of one model what it does."""

    def __init__(
        self,
        registry: CollectorRegistry,
        model: str,
        *,
        protocols: tuple[str, ...] = (),
        outcomes: tuple[str, ...] = (),
    ) -> None:
        """Shows each protocol and outcome at zero from the beginning."""
        self._metrics = Recorder(registry, METRICS)
        self._model = model
        for metric in METRICS:
            self._metrics.begin(metric, model)
        for protocol in protocols:
            self._metrics.begin(REQUEST_SECONDS, model, protocol)
            for outcome in outcomes:
                self._metrics.begin(REQUESTS, model, protocol, outcome)

    def answered(self, protocol: str, seconds: float) -> None:
        """A request was answered."""
        self._metrics.observe(REQUEST_SECONDS, seconds, self._model, protocol)

    def ended(self, protocol: str, outcome: str) -> None:
        """A request has ended, one way or the other."""
        self._metrics.count(REQUESTS, 1, self._model, protocol, outcome)

    def waiting(self, requests: int) -> None:
        """The last pass had no room for so many requests."""
        self._metrics.set(WAITING, requests, self._model)

    def passed(self, rows: int, seconds: float) -> None:
        """The model has seen so many images at once."""
        self._metrics.observe(BATCH_ROWS, rows, self._model)
        self._metrics.observe(PASS_SECONDS, seconds, self._model)
