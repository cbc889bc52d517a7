"""A run's events as Prometheus metrics; `METRICS` is what `docs/reference/metrics.md` shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, start_http_server

from gptfl.errors import SpecError
from gptfl.telemetry.events import (
    Event,
    Listener,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)


@dataclass(frozen=True)
class Metric:
    """One metric, its labels beside `run`, and what it means."""

    name: str
    kind: type[Gauge] | type[Counter] | type[Summary]
    labels: tuple[str, ...]
    meaning: str


STATES = ("pending", "running", "done", "failed")

STEP_STATE = Metric(
    "gptfl_step_state",
    Gauge,
    ("step", "state"),
    f"1 for the state that a step is in and 0 for the others: {', '.join(STATES)}.",
)
STEP_SECONDS = Metric(
    "gptfl_step_seconds", Gauge, ("step",), "Seconds that a step took; 0 when it was cached."
)
STEP_ITEMS = Metric(
    "gptfl_step_items", Gauge, ("step", "unit"), "Labels, images, rounds and the like done so far."
)
STEP_ITEMS_WANTED = Metric(
    "gptfl_step_items_wanted", Gauge, ("step", "unit"), "Of the same, how many there will be."
)
STEPS_CACHED = Metric(
    "gptfl_steps_cached_total", Counter, (), "Steps whose artifact was in the store already."
)
STEPS_FAILED = Metric(
    "gptfl_steps_failed_total", Counter, ("step",), "Steps that ended without an artifact."
)
RUN_ACCURACY = Metric(
    "gptfl_run_accuracy",
    Gauge,
    ("model",),
    "Accuracy on the test data, 0 to 1: of the final model (`gpt-fl`) and of each control.",
)
ROUND_SECONDS = Metric(
    "gptfl_federation_round_seconds", Summary, ("step",), "Seconds from one round to the next."
)

_BY_STEP = ("step",)
STAGE_METRICS: Mapping[tuple[str, str], Metric] = {
    ("generation", "images_per_second"): Metric(
        "gptfl_generation_images_per_second", Gauge, _BY_STEP, "Images drawn in a second."
    ),
    ("generation", "kept"): Metric(
        "gptfl_generation_kept_images", Gauge, _BY_STEP, "Images that passed the filters."
    ),
    ("generation", "dropped"): Metric(
        "gptfl_generation_dropped_images", Gauge, _BY_STEP, "Images that a filter dropped."
    ),
    ("pretraining", "accuracy"): Metric(
        "gptfl_pretraining_accuracy",
        Gauge,
        _BY_STEP,
        "Accuracy on the synthetic data in the last epoch, 0 to 1.",
    ),
    ("pretraining", "loss"): Metric(
        "gptfl_pretraining_loss", Gauge, _BY_STEP, "Mean loss of the last epoch."
    ),
    ("federation", "accuracy"): Metric(
        "gptfl_federation_accuracy",
        Gauge,
        _BY_STEP,
        "Accuracy of the global model on the test data after the last round, 0 to 1.",
    ),
    ("federation", "loss"): Metric(
        "gptfl_federation_loss",
        Gauge,
        _BY_STEP,
        "Loss of the global model on the test data after the last round.",
    ),
    ("federation", "train_loss"): Metric(
        "gptfl_federation_train_loss", Gauge, _BY_STEP, "Mean loss of the last round's clients."
    ),
    ("federation", "gradient_diversity"): Metric(
        "gptfl_federation_gradient_diversity",
        Gauge,
        _BY_STEP,
        "Gradient diversity of the last round (Yin et al. 2018, arXiv 1706.05699).",
    ),
    ("federation", "selected"): Metric(
        "gptfl_federation_clients_selected_total", Counter, _BY_STEP, "Clients that were asked."
    ),
    ("federation", "replied"): Metric(
        "gptfl_federation_clients_replied_total", Counter, _BY_STEP, "Replies that were used."
    ),
    ("federation", "refused"): Metric(
        "gptfl_federation_clients_refused_total", Counter, _BY_STEP, "Replies that were refused."
    ),
    ("federation", "bytes_sent"): Metric(
        "gptfl_federation_sent_bytes_total", Counter, _BY_STEP, "Bytes sent to clients."
    ),
    ("federation", "bytes_received"): Metric(
        "gptfl_federation_received_bytes_total", Counter, _BY_STEP, "Bytes received from clients."
    ),
}
"""What the numbers are called that a stage gives with its progress."""

METRICS = (
    STEP_STATE,
    STEP_SECONDS,
    STEP_ITEMS,
    STEP_ITEMS_WANTED,
    STEPS_CACHED,
    STEPS_FAILED,
    RUN_ACCURACY,
    *STAGE_METRICS.values(),
    ROUND_SECONDS,
)


def serve_metrics(port: int, *, host: str = "127.0.0.1") -> Listener:
    """A listener whose metrics are served at `/metrics` until the process ends.

    Raises SpecError when the port cannot be had.
    """
    registry = CollectorRegistry()
    listener = MetricsListener(registry)
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SpecError.of(
            "--metrics-port", f"{port} cannot be used ({error.strerror}); choose another"
        ) from error
    return listener


class MetricsListener:
    """Keeps the metrics of `registry` up to date with the events of a run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._made = {
            metric.name: metric.kind(
                metric.name, metric.meaning, ("run", *metric.labels), registry=registry
            )
            for metric in METRICS
        }
        self._run = ""
        self._last: dict[str, tuple[int, datetime]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._run = event.name
                for step in event.steps:
                    self._state(step, "pending")
            case StepStarted():
                self._state(event.step, "running")
                self._last.pop(event.step, None)
            case StepProgress():
                self._progress(event)
            case StepFinished():
                self._finished(event)
            case StepFailed():
                self._state(event.step, "failed")
                self._count(STEPS_FAILED, 1, event.step)
            case RunFinished():
                for name, value in event.metrics.items():
                    kind, _, control = name.partition("/")
                    if kind == "accuracy":
                        self._set(RUN_ACCURACY, value, control or "gpt-fl")

    def _progress(self, event: StepProgress) -> None:
        self._set(STEP_ITEMS, event.done, event.step, event.unit)
        self._set(STEP_ITEMS_WANTED, event.total, event.step, event.unit)
        self._numbers(event.step, event.metrics, is_new=self._is_new(event))

    def _is_new(self, event: StepProgress) -> bool:
        """Whether an item was done since the last report: counters count each round once, and not
        the ones that an earlier, interrupted attempt has counted."""
        done, at = self._last.get(event.step, (event.done, event.at))
        self._last[event.step] = (event.done, event.at)
        if event.done <= done:
            return False
        if event.step.partition("/")[0] == "federation":
            seconds = (event.at - at).total_seconds() / (event.done - done)
            self._child(ROUND_SECONDS, event.step).observe(seconds)
        return True

    def _finished(self, event: StepFinished) -> None:
        self._state(event.step, "done")
        self._set(STEP_SECONDS, event.seconds, event.step)
        self._numbers(event.step, event.metrics, is_new=False)
        if event.cached:
            self._count(STEPS_CACHED, 1)

    def _numbers(self, step: str, numbers: Mapping[str, float], *, is_new: bool) -> None:
        for name, value in numbers.items():
            metric = STAGE_METRICS.get((step.partition("/")[0], name))
            if metric is None:
                continue
            if metric.kind is Gauge:
                self._set(metric, value, step)
            elif is_new:
                self._count(metric, value, step)

    def _state(self, step: str, current: str) -> None:
        for state in STATES:
            self._set(STEP_STATE, float(state == current), step, state)

    def _set(self, metric: Metric, value: float, *labels: str) -> None:
        self._child(metric, *labels).set(value)

    def _count(self, metric: Metric, value: float, *labels: str) -> None:
        self._child(metric, *labels).inc(value)

    def _child(self, metric: Metric, *labels: str) -> Any:
        """The gauge, counter or summary for these labels; the caller knows which from `metric`."""
        return self._made[metric.name].labels(self._run, *labels)


def metrics_page() -> str:
    """`docs/reference/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "<!-- Derived from services/gptfl/telemetry/metrics.py by `make generate`. -->",
        "",
        "`gptfl run FILE --metrics-port 9400` serves these at `http://127.0.0.1:9400/metrics`",
        "while the run goes on. Each has the label `run`, the run's name, beside those in the",
        "table; `step` is a stage, or a control such as `federation/from-scratch`.",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.kind.__name__.lower()} | {labels} | {metric.meaning} |"
        )
    return "\n".join([*lines, ""])
