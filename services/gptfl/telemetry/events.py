"""What happens in a run, as values: the terminal, the status file, metrics and notebooks listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RunStarted:
    """A run has begun; `steps` are the names of all steps in order."""

    name: str
    steps: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class StepStarted:
    """A step begins its work because of `reason`."""

    step: str
    key: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class StepProgress:
    """A step has done `done` of `total` units."""

    step: str
    done: int
    total: int
    unit: str
    at: datetime
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepFinished:
    """A step's artifact is in the store: just made, or, when `cached`, found there."""

    step: str
    key: str
    digest: str
    cached: bool
    reason: str
    seconds: float
    at: datetime
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepFailed:
    """A step ended without an artifact."""

    step: str
    message: str
    at: datetime


@dataclass(frozen=True)
class RunFinished:
    """A run has come to its end, with the final numbers."""

    name: str
    at: datetime
    metrics: dict[str, float] = field(default_factory=dict)


Event = RunStarted | StepStarted | StepProgress | StepFinished | StepFailed | RunFinished
Listener = Callable[[Event], None]
