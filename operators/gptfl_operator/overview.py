"""The rest of a run's status: phase, stages, progress, numbers; all of it for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from gptfl.spec.run import RunSpec
from gptfl.spec.status import (
    ConditionStatus,
    ConditionType,
    FederationStatus,
    ModelStatus,
    Progress,
    StageState,
    StageStatus,
    Status,
)
from gptfl.store.runs import RunStatus, StepState, StepStatus
from gptfl_operator.conditions import Verdict
from gptfl_operator.publishing import Publication
from gptfl_operator.reasons import Reason
from gptfl_operator.standing import Stand, Standing

PARTS = 20
"""Progress is told in so many parts of the whole, or a status would be written every second."""


def overview(
    *,
    spec: RunSpec,
    found: Sequence[Verdict],
    standings: Sequence[Standing],
    publication: Publication,
    progress: RunStatus | None,
    before: Mapping[str, Any],
    now: datetime,
) -> Status:
    """Everything but the conditions. Of `before`, the status that the run has, only what was
    estimated is kept while the progress is the same."""
    steps = tuple(_stages(standings, progress, before, now))
    current = _current(standings, publication)
    at_work = next((s for s in steps if s.state is StageState.RUNNING), None)
    return Status(
        phase=phase(found),
        stage=current,
        progress=_words(at_work.progress) if at_work is not None else None,
        stages=list(steps),
        federation=_federation(spec, progress),
        metrics=_metrics(progress),
        model=_model(progress),
        endpoint=publication.endpoint,
        report=progress.report if progress is not None else None,
    )


def phase(found: Sequence[Verdict]) -> str:
    """One word for all the conditions."""
    true = {one.type for one in found if one.status is ConditionStatus.TRUE}
    for kind, word in (
        (ConditionType.FAILED, "Failed"),
        (ConditionType.COMPLETE, "Succeeded"),
        (ConditionType.SUSPENDED, "Suspended"),
    ):
        if kind in true:
            return word
    at_work = any(
        one.status is ConditionStatus.FALSE and one.reason is not Reason.QUEUED
        for one in found
        if one.type not in _NO_WORK
    )
    has_begun = at_work or ConditionType.GENERATED in true
    return "Running" if has_begun and ConditionType.ACCEPTED in true else "Pending"


_NO_WORK = (
    ConditionType.ACCEPTED,
    ConditionType.COMPLETE,
    ConditionType.FAILED,
    ConditionType.SUSPENDED,
)


def _current(standings: Sequence[Standing], publication: Publication) -> str | None:
    for one in standings:
        if one.stand is not Stand.DONE:
            return one.stage.name
    return None if publication.is_over else "serving"


def _stages(
    standings: Sequence[Standing],
    progress: RunStatus | None,
    before: Mapping[str, Any],
    now: datetime,
) -> Iterator[StageStatus]:
    known = {step.name: step for step in progress.steps} if progress is not None else {}
    earlier = {
        one.get("name"): one.get("progress") or {}
        for one in before.get("stages") or ()
        if isinstance(one, Mapping)
    }
    for standing in standings:
        for name in standing.stage.steps:
            step = known.get(name)
            yield _stage(name, standing, step, earlier.get(name) or {}, now)


def _stage(
    name: str,
    standing: Standing,
    step: StepStatus | None,
    before: Mapping[str, Any],
    now: datetime,
) -> StageStatus:
    is_main = name == standing.stage.name
    state = _state(standing, step, is_main=is_main)
    is_told = step is not None and standing.stand is not Stand.WAITING
    return StageStatus(
        name=name,
        state=state,
        key=step.key if step is not None and is_told else None,
        cached=step.cached if step is not None and state is StageState.DONE else None,
        started=(step.started if step is not None and is_told else None)
        or (standing.started if is_main else None),
        finished=(step.finished if step is not None and state is StageState.DONE else None)
        or (standing.finished if is_main and state is StageState.DONE else None),
        progress=_progress(step, before, now) if step is not None and is_told else None,
        attempts=standing.attempts if is_main else None,
        message=_message(standing, step) if is_main else None,
    )


def _state(standing: Standing, step: StepStatus | None, *, is_main: bool) -> StageState:
    """A stage's Jobs tell how the whole stands; within it, what the process says of its steps."""
    if standing.stand is Stand.DONE:
        return StageState.DONE
    if standing.stand is Stand.WAITING or standing.reason in (Reason.SUSPENDED, Reason.QUEUED):
        return StageState.PENDING
    if step is not None and step.state is StepState.DONE:
        return StageState.DONE
    is_at_hand = is_main if step is None else step.state is not StepState.PENDING or is_main
    if not is_at_hand:
        return StageState.PENDING
    return StageState.FAILED if standing.stand is Stand.FAILED else StageState.RUNNING


def _message(standing: Standing, step: StepStatus | None) -> str | None:
    if standing.stand is Stand.DONE:
        return step.reason or None if step is not None else None
    return standing.message


def _progress(step: StepStatus, before: Mapping[str, Any], now: datetime) -> Progress | None:
    """In coarse parts. What is left is estimated when a part is done and then stands, since an
    estimate that moved with the clock would be a write each time."""
    if step.total <= 0:
        return None
    part = max(1, step.total // PARTS)
    done = step.total if step.done >= step.total else step.done - step.done % part
    same = (before.get("done"), before.get("total")) == (done, step.total)
    old = before.get("etaSeconds")
    eta = old if same and isinstance(old, int) else _eta(step, now)
    is_open = step.state is StepState.RUNNING and done < step.total
    return Progress(
        done=done, total=step.total, unit=step.unit, eta_seconds=eta if is_open else None
    )


def _eta(step: StepStatus, now: datetime) -> int | None:
    if step.started is None or step.done <= 0:
        return None
    spent = max(0.0, (now - step.started).total_seconds())
    return round(spent / step.done * (step.total - step.done))


def _words(progress: Progress | None) -> str | None:
    return f"{progress.done}/{progress.total} {progress.unit}".strip() if progress else None


def _federation(spec: RunSpec, progress: RunStatus | None) -> FederationStatus | None:
    step = progress.step("federation") if progress is not None else None
    if step is None or step.state is StepState.PENDING:
        return None
    rounds = spec.federation.rounds
    done = rounds if step.state is StepState.DONE else min(step.done, rounds)
    return FederationStatus(round=done, rounds=rounds, selected=spec.federation.clients_per_round)


def _metrics(progress: RunStatus | None) -> dict[str, float] | None:
    if progress is None:
        return None
    step = progress.step("evaluation")
    evaluated = step.metrics if step is not None and step.state is StepState.DONE else {}
    return progress.metrics or evaluated or None


def _model(progress: RunStatus | None) -> ModelStatus | None:
    if progress is None or progress.model is None or progress.model_digest is None:
        return None
    return ModelStatus(uri=progress.model, digest=progress.model_digest)
