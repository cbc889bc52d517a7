"""What workers, aggregators, clients and stores count, in the words of Prometheus."""

from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from gptfl.federation.network import Counters, StreamStatus
from gptfl.federation.network.counters import Turned
from gptfl.telemetry.metrics.aggregator import AggregatorMetrics
from gptfl.telemetry.metrics.client import ClientMetrics
from gptfl.telemetry.metrics.process import open_registry
from gptfl.telemetry.metrics.store import StoreMetrics
from gptfl.telemetry.metrics.worker import WorkerMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_every_process_says_what_it_is_and_what_it_uses() -> None:
    registry = open_registry("gptfl worker")
    (info,) = [
        one for family in registry.collect() for one in family.samples if "build" in one.name
    ]

    assert info.labels["command"] == "gptfl worker"
    assert info.labels["version"]
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0


def test_a_worker_counts_shards_by_how_they_ended(registry: CollectorRegistry) -> None:
    worker = WorkerMetrics(registry, "pets")
    worker.begin(redelivered=False)
    worker.drawn(images=8, seconds=4.0)
    worker.begin(redelivered=True)
    worker.failed()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"queue": "pets", **labels})

    assert value("gptfl_worker_shards_total", end="drawn") == 1
    assert value("gptfl_worker_shards_total", end="failed") == 1
    assert value("gptfl_worker_shards_total", end="found") == 0
    assert value("gptfl_worker_shards_redelivered_total") == 1
    assert value("gptfl_worker_images_total") == 8
    assert value("gptfl_worker_shard_seconds_sum") == 4
    assert value("gptfl_worker_image_seconds_sum") == 0.5


def test_an_aggregator_shows_its_streams_as_they_are_when_asked(
    registry: CollectorRegistry,
) -> None:
    counters = Counters(
        bytes_sent=Counter(a=10, b=20),
        bytes_received=Counter(a=3),
        connections=Counter(a=2, b=1),
        turned_away=Counter({Turned.REVOKED: 1}),
        late_replies=4,
        replayed_replies=5,
    )
    streams = [StreamStatus(("a", "b"), 7, counters)]
    metrics = AggregatorMetrics(registry, "pets", lambda: streams[0], tuple(Turned))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"gptfl_aggregator_{name}", {"run": "pets", **labels})

    assert value("clients_connected") == 2
    assert value("connections_total") == 3
    assert value("turned_away_total", reason="Revoked") == 1
    assert value("turned_away_total", reason="TooLarge") == 0
    assert value("late_replies_total") == 4
    assert value("replayed_replies_total") == 5
    assert value("sent_bytes_total") == 30
    assert value("received_bytes_total") == 3
    assert value("held_bytes") == 7
    with metrics:
        counters.late_replies += 1
    streams.clear()
    assert value("late_replies_total") == 5, "the last numbers outlive the streams"


def test_a_client_counts_what_leaves_it_and_how_long_a_task_took(
    registry: CollectorRegistry,
) -> None:
    now = [100.0]
    client = ClientMetrics(registry, "ward-3", clock=lambda: now[0])
    client.connected("aggregator:9092", 1)
    client.task_received("round-1", 500)
    client.disconnected("the stream broke", 0.5)
    assert registry.get_sample_value("gptfl_client_connected") == 0
    client.connected("aggregator:9092", 1)
    now[0] += 3
    client.reply_sent("round-1", 400)

    assert registry.get_sample_value("gptfl_client_info", {"client": "ward-3"}) == 1
    assert registry.get_sample_value("gptfl_client_connected") == 1
    assert registry.get_sample_value("gptfl_client_connections_total") == 2
    assert registry.get_sample_value("gptfl_client_tasks_total") == 1
    assert registry.get_sample_value("gptfl_client_task_seconds_sum") == 3
    assert registry.get_sample_value("gptfl_client_received_bytes_total") == 500
    assert registry.get_sample_value("gptfl_client_sent_bytes_total") == 400


def test_clients_in_one_process_are_counted_together(registry: CollectorRegistry) -> None:
    one = ClientMetrics(registry)
    two = one.another()
    one.disconnected("nobody there yet", 1.0)
    one.connected("aggregator:9092", 1)
    two.connected("aggregator:9092", 2)
    assert registry.get_sample_value("gptfl_client_connected") == 2
    two.disconnected("the stream broke", 1.0)
    two.disconnected("nobody there", 2.0)
    two.reply_sent("a task of an earlier life", 7)

    assert registry.get_sample_value("gptfl_client_connected") == 1
    assert registry.get_sample_value("gptfl_client_connections_total") == 2
    assert registry.get_sample_value("gptfl_client_sent_bytes_total") == 7


def test_a_store_counts_requests_retries_and_what_was_given_up(
    registry: CollectorRegistry,
) -> None:
    store = StoreMetrics(registry)
    store.request("read", 0.5, received=1000)
    store.request("write", 1.5, sent=10)
    store.retry("write", "SlowDown")
    store.failure("read", "connect")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"gptfl_store_{name}", labels)

    assert value("request_seconds_count", operation="read") == 1
    assert value("request_seconds_sum", operation="write") == 1.5
    assert value("retries_total", operation="write", reason="SlowDown") == 1
    assert value("failures_total", operation="read", reason="connect") == 1
    assert value("sent_bytes_total") == 10
    assert value("received_bytes_total") == 1000
