"""The events of a run as metrics, in whatever process its steps are done."""

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gptfl.telemetry.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)
from gptfl.telemetry.metrics.base import Metric, Recorder
from gptfl.telemetry.metrics.stages import STAGE_METRICS, metric_of

STATES = ("pending", "running", "done", "failed")

STEP_STATE = Metric(
    "gptfl_step_state",
    Gauge,
    ("run", "step", "state"),
    f"1 for the state that a step is in and 0 for the others: {', '.join(STATES)}.",
)
STEP_SECONDS = Metric(
    "gptfl_step_seconds", Gauge, ("run", "step"), "Seconds that a step took; 0 when it was cached."
)
STEP_ITEMS = Metric(
    "gptfl_step_items",
    Gauge,
    ("run", "step", "unit"),
    "Labels, images, rounds and the like done so far.",
)
STEP_ITEMS_WANTED = Metric(
    "gptfl_step_items_wanted",
    Gauge,
    ("run", "step", "unit"),
    "Of the same, how many there will be.",
)
STEPS_CACHED = Metric(
    "gptfl_steps_cached_total",
    Counter,
    ("run",),
    "Steps whose artifact was in the store already.",
)
STEPS_FAILED = Metric(
    "gptfl_steps_failed_total", Counter, ("run", "step"), "Steps that ended without an artifact."
)
RUN_ACCURACY = Metric(
    "gptfl_run_accuracy",
    Gauge,
    ("run", "model"),
    "Accuracy on the test data, 0 to 1: of the final model (`gpt-fl`) and of each control.",
)
ROUND_SECONDS = Metric(
    "gptfl_federation_round_seconds",
    Histogram,
    ("run", "step"),
    "Seconds from one round to the next.",
)

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


class RunMetrics:
    """A listener that keeps the metrics of a registry up to date with the events of a run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = Recorder(registry, METRICS)
        self._run = ""
        self._last: dict[str, tuple[int, datetime]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case StepStarted():
                self._state(event.step, "running")
                self._last.pop(event.step, None)
            case StepProgress():
                self._progress(event)
            case StepFinished():
                self._finished(event)
            case StepFailed():
                self._state(event.step, "failed")
                self._metrics.count(STEPS_FAILED, 1, self._run, event.step)
            case RunFinished():
                for name, value in event.metrics.items():
                    kind, _, control = name.partition("/")
                    if kind == "accuracy":
                        self._metrics.set(RUN_ACCURACY, value, self._run, control or "gpt-fl")

    def _begin(self, event: RunStarted) -> None:
        self._run = event.name
        self._metrics.begin(STEPS_CACHED, event.name)
        for step in event.steps:
            self._state(step, "pending")
            self._metrics.begin(STEPS_FAILED, event.name, step)
            for (stage, _), metric in STAGE_METRICS.items():
                if metric.kind is Counter and stage == _stage(step):
                    self._metrics.begin(metric, event.name, step)

    def _progress(self, event: StepProgress) -> None:
        where = self._run, event.step, event.unit
        self._metrics.set(STEP_ITEMS, event.done, *where)
        self._metrics.set(STEP_ITEMS_WANTED, event.total, *where)
        self._numbers(event.step, event.metrics, is_new=self._is_new(event))

    def _is_new(self, event: StepProgress) -> bool:
        """Whether an item was done since the last report: counters count each round once, and not
        the ones that an earlier, interrupted attempt has counted."""
        done, at = self._last.get(event.step, (event.done, event.at))
        self._last[event.step] = (event.done, event.at)
        if event.done <= done:
            return False
        if _stage(event.step) == "federation":
            seconds = (event.at - at).total_seconds() / (event.done - done)
            self._metrics.observe(ROUND_SECONDS, seconds, self._run, event.step)
        return True

    def _finished(self, event: StepFinished) -> None:
        self._state(event.step, "done")
        self._metrics.set(STEP_SECONDS, event.seconds, self._run, event.step)
        self._numbers(event.step, event.metrics, is_new=False)
        if event.cached:
            self._metrics.count(STEPS_CACHED, 1, self._run)

    def _numbers(self, step: str, numbers: Mapping[str, float], *, is_new: bool) -> None:
        for number, value in numbers.items():
            known = metric_of(_stage(step), number)
            if known is None:
                continue
            metric, labels = known
            if metric.kind is Gauge:
                self._metrics.set(metric, value, self._run, step, *labels)
            elif is_new:
                self._metrics.count(metric, value, self._run, step, *labels)

    def _state(self, step: str, current: str) -> None:
        for state in STATES:
            self._metrics.set(STEP_STATE, float(state == current), self._run, step, state)


def _stage(step: str) -> str:
    return step.partition("/")[0]
