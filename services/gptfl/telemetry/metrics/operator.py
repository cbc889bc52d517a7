"""What the operator shows: how it keeps up with the runs, and what it asks of the API server."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily

from gptfl.telemetry.metrics.base import Metric, Recorder

PHASES = ("Pending", "Running", "Suspended", "Succeeded", "Failed")
RESULTS = ("settled", "changed", "refused", "failed")

RECONCILES = Metric(
    "gptfl_operator_reconciles_total",
    Counter,
    ("result",),
    "Looks at a run: `settled` wrote nothing, `changed` wrote, `refused` wrote what the API server "
    "would not take, `failed` will be tried again.",
    RESULTS,
)
RECONCILE_SECONDS = Metric(
    "gptfl_operator_reconcile_seconds", Histogram, (), "Seconds that a look at a run takes."
)
WRITES = Metric(
    "gptfl_operator_api_writes_total",
    Counter,
    ("kind", "verb"),
    "Writes that the API server took: `apply`, `delete`, `status`, `event`.",
)
WRITE_ERRORS = Metric(
    "gptfl_operator_api_write_errors_total",
    Counter,
    ("kind", "verb"),
    "Writes that it refused or did not answer.",
)
DEPTH = Metric("gptfl_operator_queue_depth", Gauge, (), "Runs that are due to be looked at.")
RUNS = Metric("gptfl_operator_runs", Gauge, ("phase",), "Runs by phase.", PHASES)
SYNCED = Metric(
    "gptfl_operator_synced",
    Gauge,
    (),
    "1 while what is known of the cluster is complete; else nothing is decided.",
)
LEADING = Metric("gptfl_operator_leading", Gauge, (), "1 in the replica that works.")

METRICS = (RECONCILES, RECONCILE_SECONDS, WRITES, WRITE_ERRORS, DEPTH, RUNS, SYNCED, LEADING)


class OperatorMetrics(Recorder):
    """The metrics of one operator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counted = (RECONCILES, RECONCILE_SECONDS, WRITES, WRITE_ERRORS)
        super().__init__(registry, counted)
        self.begin(RECONCILES)

    def looked(self, result: str, seconds: float) -> None:
        """A run was looked at."""
        self.count(RECONCILES, 1, result)
        self.observe(RECONCILE_SECONDS, seconds)

    def wrote(self, verb: str, kind: str) -> None:
        """The API server took a write."""
        self.count(WRITES, 1, kind, verb)

    def write_failed(self, verb: str, kind: str) -> None:
        """It did not."""
        self.count(WRITE_ERRORS, 1, kind, verb)


class OperatorState:
    """A collector of a registry that asks the operator how it stands at each scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        phases: Callable[[], Iterable[str]],
        depth: Callable[[], int],
        is_synced: Callable[[], bool],
        is_leading: Callable[[], bool],
    ) -> None:
        """`phases` gives that of each run."""
        self._phases = phases
        self._values = {DEPTH: depth, SYNCED: is_synced, LEADING: is_leading}
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by the registry."""
        for metric, value in self._values.items():
            yield _family(metric, {"": float(value())})
        yield _family(RUNS, dict.fromkeys(PHASES, 0) | Tally(self._phases()))


def _family(metric: Metric, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for label, value in values.items():
        family.add_metric((label,) if metric.labels else (), value)
    return family
