"""What Prometheus reads of a run, while it goes on."""

import pytest
from prometheus_client import CollectorRegistry
from story import ENDING, FAILURE, STORY

from gptfl.federation.results import Refusal
from gptfl.generation.filters import FILTERS as VERDICTS
from gptfl.telemetry.metrics import METRICS, metrics_page
from gptfl.telemetry.metrics.run import RunMetrics
from gptfl.telemetry.metrics.stages import FILTERS, REFUSALS


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    listen = RunMetrics(registry)
    for event in STORY:
        listen(event)
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {"run": "pets", **labels})


def test_steps_have_a_state_items_and_a_time(registry: CollectorRegistry) -> None:
    assert value(registry, "gptfl_step_state", step="generation", state="done") == 1
    assert value(registry, "gptfl_step_state", step="federation", state="running") == 1
    assert value(registry, "gptfl_step_state", step="federation", state="pending") == 0
    assert value(registry, "gptfl_step_items", step="generation", unit="images") == 50
    assert value(registry, "gptfl_step_items_wanted", step="generation", unit="images") == 200
    assert value(registry, "gptfl_step_seconds", step="generation") == 21
    assert value(registry, "gptfl_steps_cached_total") == 1


def test_a_federation_shows_its_last_round_and_counts_over_rounds(
    registry: CollectorRegistry,
) -> None:
    assert value(registry, "gptfl_federation_accuracy", step="federation") == 0.8
    assert value(registry, "gptfl_federation_loss", step="federation") == 0.5
    assert value(registry, "gptfl_federation_clients_selected_total", step="federation") == 6
    refused = "gptfl_federation_clients_refused_total"
    assert value(registry, refused, step="federation", reason="NotFinite") == 1
    assert value(registry, "gptfl_federation_sent_bytes_total", step="federation") == 200
    assert value(registry, "gptfl_federation_round_seconds_count", step="federation") == 2
    assert value(registry, "gptfl_federation_round_seconds_sum", step="federation") == 4


def test_what_may_come_is_there_at_zero_so_that_its_first_increase_is_one() -> None:
    registry = CollectorRegistry()
    RunMetrics(registry)(STORY[0])

    assert value(registry, "gptfl_steps_failed_total", step="federation") == 0
    for reason in Refusal:
        labels = {"step": "federation/from-scratch", "reason": reason}
        assert value(registry, "gptfl_federation_clients_refused_total", **labels) == 0


def test_the_reasons_and_filters_shown_are_those_that_there_are() -> None:
    assert set(REFUSALS) == set(Refusal)
    assert set(FILTERS) == set(VERDICTS)


def test_a_round_that_is_reported_twice_is_counted_once() -> None:
    registry = CollectorRegistry()
    listen = RunMetrics(registry)
    for event in (*STORY, STORY[-1]):
        listen(event)

    assert value(registry, "gptfl_federation_sent_bytes_total", step="federation") == 200


def test_the_end_names_the_model_and_its_controls() -> None:
    registry = CollectorRegistry()
    listen = RunMetrics(registry)
    for event in (*STORY, *ENDING):
        listen(event)

    assert value(registry, "gptfl_run_accuracy", model="gpt-fl") == 0.9
    assert value(registry, "gptfl_run_accuracy", model="from-scratch") == 0.4


def test_a_failure_is_counted() -> None:
    registry = CollectorRegistry()
    listen = RunMetrics(registry)
    for event in (*STORY, FAILURE):
        listen(event)

    assert value(registry, "gptfl_step_state", step="federation", state="failed") == 1
    assert value(registry, "gptfl_steps_failed_total", step="federation") == 1


def test_names_follow_the_conventions_and_the_page_has_all() -> None:
    page = metrics_page()

    for metric in METRICS:
        assert metric.name.startswith("gptfl_")
        assert metric.name.endswith("_total") == (metric.kind.__name__ == "Counter")
        assert f"| `{metric.name}` |" in page
