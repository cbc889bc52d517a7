"""Folds what happens in a run into its status, and keeps the status file up to date."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import singledispatch
from typing import Protocol

from gptfl.store.runs import Phase, RunStatus, StepState, StepStatus
from gptfl.telemetry.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)

SECONDS_BETWEEN_WRITES = 0.5


def apply(status: RunStatus, event: Event) -> RunStatus:
    """The status after an event. Pure: the same events make the same status."""
    return _applied(event, status)


@singledispatch
def _applied(event: Event, status: RunStatus) -> RunStatus:
    raise TypeError(f"{type(event).__name__} is not an event")


@_applied.register
def _(event: RunStarted, status: RunStatus) -> RunStatus:
    known = {step.name: step for step in status.steps}
    steps = tuple(
        known.get(name, StepStatus(name=name, stage=name.partition("/")[0])) for name in event.steps
    )
    return status.model_copy(
        update={
            "phase": Phase.RUNNING,
            "message": "",
            "started": event.at,
            "finished": None,
            "steps": steps,
        }
    )


@_applied.register
def _(event: StepStarted, status: RunStatus) -> RunStatus:
    return _with_step(
        status,
        event.step,
        state=StepState.RUNNING,
        key=event.key,
        reason=event.reason,
        started=event.at,
    )


@_applied.register
def _(event: StepProgress, status: RunStatus) -> RunStatus:
    return _with_step(
        status,
        event.step,
        done=event.done,
        total=event.total,
        unit=event.unit,
        metrics=dict(event.metrics),
    )


@_applied.register
def _(event: StepFinished, status: RunStatus) -> RunStatus:
    return _with_step(
        status,
        event.step,
        state=StepState.DONE,
        key=event.key,
        digest=event.digest,
        cached=event.cached,
        **({"reason": event.reason} if event.reason else {}),
        seconds=event.seconds,
        finished=event.at,
        metrics=dict(event.metrics),
    )


@_applied.register
def _(event: StepFailed, status: RunStatus) -> RunStatus:
    # The first line says what happened; a status is read in a table.
    message = event.message.partition("\n")[0]
    failed = _with_step(
        status, event.step, state=StepState.FAILED, message=message, finished=event.at
    )
    return failed.model_copy(
        update={"phase": Phase.FAILED, "message": f"{event.step}: {message}", "finished": event.at}
    )


@_applied.register
def _(event: RunFinished, status: RunStatus) -> RunStatus:
    return status.model_copy(
        update={
            "phase": Phase.SUCCEEDED,
            "finished": event.at,
            "metrics": dict(event.metrics),
        }
    )


def _with_step(status: RunStatus, name: str, **changes: object) -> RunStatus:
    steps = tuple(
        step.model_copy(update=changes) if step.name == name else step for step in status.steps
    )
    return status.model_copy(update={"steps": steps})


def _may_wait(event: Event) -> bool:
    """Whether the next write is soon enough: what was found in the store stays there."""
    return isinstance(event, StepProgress) or (isinstance(event, StepFinished) and event.cached)


class KeepsStatus(Protocol):
    """Where a status is kept: a RunFolder."""

    def write_status(self, status: RunStatus) -> None: ...


class StatusRecorder:
    """A listener that writes the status when a step goes to work or ends, else twice a second."""

    def __init__(
        self,
        keeper: KeepsStatus,
        status: RunStatus,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.status = status
        self._keeper = keeper
        self._clock = clock
        self._now = now
        self._written = float("-inf")

    def __call__(self, event: Event) -> None:
        self.status = apply(self.status, event)
        # The end of a run is written by `finish`, which knows what came of it.
        if isinstance(event, RunFinished):
            return
        is_due = self._clock() - self._written >= SECONDS_BETWEEN_WRITES
        if is_due or not _may_wait(event):
            self._write()

    def pause(self) -> RunStatus:
        """Writes that this process has done its part of a run that goes on."""
        self._write()
        return self.status

    def finish(self, phase: Phase, message: str, **results: object) -> RunStatus:
        """Writes how the run ended; `results` are further fields of RunStatus.

        A step that was at work when the run ended is pending again: nothing works on it.
        """
        steps = tuple(
            step.model_copy(update={"state": StepState.PENDING})
            if step.state is StepState.RUNNING
            else step
            for step in self.status.steps
        )
        self.status = self.status.model_copy(
            update={
                "phase": phase,
                "message": message,
                "finished": self._now(),
                "steps": steps,
                **results,
            }
        )
        self._write()
        return self.status

    def _write(self) -> None:
        self._keeper.write_status(self.status)
        self._written = self._clock()
