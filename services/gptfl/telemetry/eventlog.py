"""The events of a run as log records, for those who read logs and see no screen."""

import logging
import math
from collections.abc import Mapping
from datetime import datetime

from gptfl.telemetry import words
from gptfl.telemetry.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)

SECONDS_BETWEEN_RECORDS = 10.0
"""Of a step's progress."""

_LOG = logging.getLogger("gptfl.run")


class EventLog:
    """A listener: a record for each begin and end, and progress now and then."""

    def __init__(self) -> None:
        self._said_at: dict[str, datetime] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                _info(f"{event.name} begins", steps=list(event.steps))
            case StepStarted():
                self._said_at[event.step] = event.at
                _step(event.step, f"begins ({event.reason})", key=event.key)
            case StepProgress():
                self._progress(event)
            case StepFinished():
                _finished(event)
            case StepFailed():
                _LOG.error(
                    "%s failed: %s",
                    event.step,
                    event.message,
                    extra={"fields": _where(event.step)},
                    exc_info=True,
                )
            case RunFinished():
                _info(f"{event.name} is done", metrics=_finite(event.metrics))

    def _progress(self, event: StepProgress) -> None:
        said_at = self._said_at.setdefault(event.step, event.at)
        if (event.at - said_at).total_seconds() < SECONDS_BETWEEN_RECORDS:
            return
        self._said_at[event.step] = event.at
        _step(
            event.step,
            f"{event.done:,} of {event.total:,} {event.unit}",
            done=event.done,
            total=event.total,
            unit=event.unit,
            metrics=_finite(event.metrics),
        )


def _finished(event: StepFinished) -> None:
    said = event.reason if event.cached else f"done in {words.duration(event.seconds)}"
    _step(
        event.step,
        said,
        cached=event.cached,
        seconds=round(event.seconds, 3),
        digest=event.digest,
        metrics=_finite(event.metrics),
    )


def _step(step: str, said: str, **fields: object) -> None:
    _info(f"{step}: {said}", **_where(step), **fields)


def _info(said: str, **fields: object) -> None:
    _LOG.info("%s", said, extra={"fields": fields})


def _where(step: str) -> dict[str, str]:
    return {"stage": step.partition("/")[0], "step": step}


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity and no not-a-number."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
