"""What the server side of a federation over the network shows beside its rounds.

The streams count for themselves; their numbers are read when Prometheus asks.
"""

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from gptfl.telemetry.metrics.base import Metric

_RUN = ("run",)

CONNECTED = Metric(
    "gptfl_aggregator_clients_connected", Gauge, _RUN, "Clients with an open stream."
)
CONNECTIONS = Metric("gptfl_aggregator_connections_total", Counter, _RUN, "Streams let in.")
TURNED_AWAY = Metric(
    "gptfl_aggregator_turned_away_total",
    Counter,
    ("run", "reason"),
    "Streams not let in or ended, and replies not taken, for what they were: `Unauthenticated`, "
    "`Revoked`, `TooLarge` and the like.",
)
LATE = Metric(
    "gptfl_aggregator_late_replies_total",
    Counter,
    _RUN,
    "Replies that came when their round was over; they are dropped.",
)
REPLAYED = Metric(
    "gptfl_aggregator_replayed_replies_total",
    Counter,
    _RUN,
    "Replies to what nobody had asked, or a second time; they are dropped.",
)
SENT = Metric("gptfl_aggregator_sent_bytes_total", Counter, _RUN, "Bytes of tasks sent.")
RECEIVED = Metric("gptfl_aggregator_received_bytes_total", Counter, _RUN, "Bytes of replies.")
HELD = Metric(
    "gptfl_aggregator_held_bytes", Gauge, _RUN, "Bytes of replies on their way or not yet taken."
)

METRICS = (CONNECTED, CONNECTIONS, TURNED_AWAY, LATE, REPLAYED, SENT, RECEIVED, HELD)


class StreamCounters(Protocol):
    """What `gptfl.federation.network.Counters` has."""

    @property
    def bytes_sent(self) -> Mapping[str, int]: ...
    @property
    def bytes_received(self) -> Mapping[str, int]: ...
    @property
    def connections(self) -> Mapping[str, int]: ...
    @property
    def turned_away(self) -> Mapping[Any, int]: ...
    @property
    def late_replies(self) -> int: ...
    @property
    def replayed_replies(self) -> int: ...


class Streams(Protocol):
    """What `gptfl.federation.network.StreamStatus` has."""

    @property
    def connected(self) -> tuple[str, ...]: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def counters(self) -> StreamCounters: ...


class AggregatorMetrics:
    """A collector of a registry that reads the streams of one run at each scrape.

    It is open as long as the streams are; what it shows afterwards are their last numbers.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        run: str,
        read: Callable[[], Streams],
        reasons: tuple[str, ...] = (),
    ) -> None:
        """`reasons` for turning away are those that are shown at zero from the beginning."""
        self._run, self._read, self._reasons = run, read, reasons
        registry.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        last = self._read()
        self._read = lambda: last

    def collect(self) -> Iterator[Family]:
        """Called by the registry."""
        streams = self._read()
        counters = streams.counters
        yield self._family(CONNECTED, len(streams.connected))
        yield self._family(CONNECTIONS, sum(counters.connections.values()))
        yield self._by_reason(counters.turned_away)
        yield self._family(LATE, counters.late_replies)
        yield self._family(REPLAYED, counters.replayed_replies)
        yield self._family(SENT, sum(counters.bytes_sent.values()))
        yield self._family(RECEIVED, sum(counters.bytes_received.values()))
        yield self._family(HELD, streams.held_bytes)

    def _family(self, metric: Metric, value: float) -> Family:
        family = _empty(metric)
        family.add_metric((self._run,), value)
        return family

    def _by_reason(self, turned_away: Mapping[Any, int]) -> Family:
        family = _empty(TURNED_AWAY)
        counts = dict.fromkeys(self._reasons, 0) | {str(key): n for key, n in turned_away.items()}
        for reason, count in counts.items():
            family.add_metric((self._run, reason), count)
        return family


def _empty(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if metric.kind is Counter else GaugeMetricFamily
    return family(metric.name, metric.meaning, labels=metric.labels)
