"""The events of a run, with the times that they would have."""

from datetime import UTC, datetime, timedelta

from gptfl.store import RunStatus
from gptfl.telemetry.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)

BEGIN = datetime(2026, 11, 24, 6, 20, tzinfo=UTC)
STEPS = ("prompts", "generation", "federation", "federation/from-scratch", "evaluation")
KEY, DIGEST = "ab" * 32, "cd" * 32


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def nothing_done() -> RunStatus:
    return RunStatus(namespace="default", name="pets", uid="1", started=BEGIN)


CACHED = "same spec and inputs as abababababab, made 2026-11-24 06:20"

STORY: tuple[Event, ...] = (
    RunStarted("pets", STEPS, at(0)),
    StepFinished("prompts", KEY, DIGEST, True, CACHED, 0.0, at(0)),
    StepStarted("generation", KEY, "generation.steps: 10 → 20", at(0)),
    StepProgress("generation", 0, 200, "images", at(1)),
    StepProgress("generation", 50, 200, "images", at(6), {"images_per_second": 10.0}),
    StepFinished("generation", KEY, DIGEST, False, "", 21.0, at(21), {"kept": 200.0}),
    StepStarted("federation", KEY, "not done before", at(21)),
    StepProgress("federation", 0, 3, "rounds", at(22), {"accuracy": 0.5}),
    StepProgress(
        "federation",
        1,
        3,
        "rounds",
        at(24),
        {
            "accuracy": 0.7,
            "loss": 0.5,
            "selected": 3,
            "refused": 1,
            "refused/NotFinite": 1,
            "bytes_sent": 100,
        },
    ),
    StepProgress(
        "federation", 2, 3, "rounds", at(26), {"accuracy": 0.8, "selected": 3, "bytes_sent": 100}
    ),
)
ENDING: tuple[Event, ...] = (
    StepFinished("federation", KEY, DIGEST, False, "", 7.0, at(28), {"accuracy": 0.9}),
    RunFinished("pets", at(30), {"accuracy": 0.9, "accuracy/from-scratch": 0.4}),
)
FAILURE = StepFailed("federation", "spec.x: diverged; use less\nmore", at(27))
