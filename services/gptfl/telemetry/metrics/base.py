"""What a metric is, and how a process of ours keeps a set of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds for work that takes from milliseconds on a test's model to an hour on a real one."""


@dataclass(frozen=True)
class Metric:
    """One metric, its labels, and what it means."""

    name: str
    kind: type[Gauge] | type[Counter] | type[Histogram]
    labels: tuple[str, ...]
    meaning: str
    values: tuple[str, ...] = ()
    """Those of the last label, where they are known beforehand: each begins at zero, because
    Prometheus sees no increase in a series that begins with its first event."""
    buckets: tuple[float, ...] = SECONDS
    """Of a histogram: upper bounds in the metric's unit."""


class Recorder:
    """The metrics of one list, in a registry; the subclasses say what happened, in their words."""

    def __init__(self, registry: CollectorRegistry, metrics: Sequence[Metric]) -> None:
        self._made = {metric.name: _make(metric, registry) for metric in metrics}
        # Kept, because to find a child by its labels costs several times what counting does.
        self._children: dict[tuple[str, ...], Any] = {}

    def begin(self, metric: Metric, *labels: str) -> None:
        """Shows a metric at zero, with each known value of its last label."""
        if metric.values:
            for value in metric.values:
                self._child(metric, *labels, value)
        elif len(labels) == len(metric.labels):
            self._child(metric, *labels)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """A gauge has this value."""
        self._child(metric, *labels).set(value)

    def count(self, metric: Metric, value: float, *labels: str) -> None:
        """A counter has grown by this much; a gauge may shrink."""
        self._child(metric, *labels).inc(value)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """A histogram has one more value."""
        self._child(metric, *labels).observe(value)

    def _child(self, metric: Metric, *labels: str) -> Any:
        """The gauge, counter or histogram for these labels; the caller knows which it is."""
        key = (metric.name, *labels)
        child = self._children.get(key)
        if child is None:
            made = self._made[metric.name]
            child = made.labels(*labels) if metric.labels else made
            self._children[key] = child
        return child


def _make(metric: Metric, registry: CollectorRegistry) -> Gauge | Counter | Histogram:
    if metric.kind is Histogram:
        return Histogram(
            metric.name,
            metric.meaning,
            metric.labels,
            registry=registry,
            buckets=metric.buckets,
        )
    return metric.kind(metric.name, metric.meaning, metric.labels, registry=registry)
