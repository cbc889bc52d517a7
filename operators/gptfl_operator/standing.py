"""How far each stage is, from its Jobs and their pods alone.

The order of the stages is itself evidence: a stage's Job is made only when the stage before it is
done, so where a later Job is, the earlier stages are done, even if their Jobs are no longer there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from gptfl_operator.manifests.parts import StageWork, Work
from gptfl_operator.model import Object, Observed
from gptfl_operator.names import QUEUE
from gptfl_operator.objects import (
    by_name,
    condition,
    created,
    labels_of,
    moment,
    owned_by,
    spec_of,
    status_of,
)
from gptfl_operator.plan import Stage
from gptfl_operator.reasons import Reason
from gptfl_operator.troubles import TOO_LONG, Trouble, creation_trouble, pod_trouble


class Stand(Enum):
    """Where a stage is."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Standing:
    """One stage at this moment."""

    stage: Stage
    work: StageWork
    stand: Stand
    reason: Reason
    message: str
    attempts: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    """When it was done, or failed for good; None where nothing tells."""


class JobState(Enum):
    """Where a Job is."""

    ABSENT = "absent"
    SUSPENDED = "suspended"
    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"


def job_state(job: Object | None) -> JobState:
    """Where a Job is. What its conditions do not say yet has not happened."""
    if job is None:
        return JobState.ABSENT
    if condition(job, "Complete"):
        return JobState.COMPLETE
    if condition(job, "Failed"):
        return JobState.FAILED
    return JobState.SUSPENDED if spec_of(job).get("suspend") else JobState.ACTIVE


def is_finished(job: Object | None) -> bool:
    """Whether a Job has come to its end, good or bad."""
    return job_state(job) in (JobState.COMPLETE, JobState.FAILED)


def standings(
    stages: Sequence[tuple[Stage, StageWork]], observed: Observed, *, suspended: bool
) -> tuple[Standing, ...]:
    """All stages in order: those done, at most one that is at work or has failed, those waiting."""
    jobs = by_name(observed.jobs)
    last = max(
        (place for place, (_, work) in enumerate(stages) if work.main.name in jobs), default=0
    )
    found: list[Standing] = []
    for place, (stage, work) in enumerate(stages):
        if found and found[-1].stand is not Stand.DONE:
            before = found[-1].stage.name if found[-1].stand is not Stand.WAITING else None
            found.append(_waiting(stage, work, before or _first_open(found)))
        elif place < last:
            found.append(_done(stage, work, jobs.get(work.main.name)))
        else:
            found.append(_at_hand(stage, work, jobs, observed, suspended=suspended))
    return tuple(found)


def _first_open(found: Iterable[Standing]) -> str:
    return next(one.stage.name for one in found if one.stand is not Stand.DONE)


def _waiting(stage: Stage, work: StageWork, before: str) -> Standing:
    return Standing(stage, work, Stand.WAITING, Reason.PENDING, f"waits for {before}")


def _done(stage: Stage, work: StageWork, job: Object | None) -> Standing:
    status = status_of(job) if job is not None else {}
    return Standing(
        stage,
        work,
        Stand.DONE,
        Reason.DONE,
        "its artifact is in the store",
        attempts=_attempts(status) if job is not None else None,
        started=moment(status.get("startTime")),
        finished=moment(status.get("completionTime")),
    )


def _at_hand(
    stage: Stage,
    work: StageWork,
    jobs: Mapping[str, Object],
    observed: Observed,
    *,
    suspended: bool,
) -> Standing:
    """The first stage that is not known to be done."""
    main = jobs.get(work.main.name)
    if main is not None and job_state(main) is JobState.COMPLETE:
        return _done(stage, work, main)
    for one in (work.main, *(() if work.can_lose_helpers else work.helpers)):
        job = jobs.get(one.name)
        if job is not None and job_state(job) is JobState.FAILED:
            return _failed(stage, work, one, job, observed)
    if suspended:
        return Standing(stage, work, Stand.WORKING, Reason.SUSPENDED, "spec.suspend is true")
    reason, message = _words(stage, work, main, jobs, observed)
    return Standing(
        stage,
        work,
        Stand.WORKING,
        reason,
        message,
        attempts=_attempts(status_of(main)) if main is not None else None,
        started=moment(status_of(main).get("startTime")) if main is not None else None,
    )


def _attempts(status: Mapping[str, object]) -> int | None:
    counts = (status.get(name) for name in ("active", "succeeded", "failed"))
    return sum(count for count in counts if isinstance(count, int)) or None


def _words(
    stage: Stage,
    work: StageWork,
    main: Object | None,
    jobs: Mapping[str, Object],
    observed: Observed,
) -> tuple[Reason, str]:
    """What there is to say of a stage at work: the main pod's trouble before its helpers'."""
    every = (work.main, *work.helpers)
    if observed.refused and any(one.name not in jobs for one in every):
        return Reason.REFUSED, f"the API server does not take {observed.refused[0]}"
    queued = _queued(every, jobs)
    if queued is not None:
        return Reason.QUEUED, queued
    for one in every:
        job = jobs.get(one.name)
        trouble = trouble_of(one, job, observed) if job is not None else None
        if trouble is not None:
            whose = f"client {one.part.client}: " if one.part.client else ""
            return trouble.reason, f"{whose}{trouble.message}"
    lost = [
        one.part.client or one.part.component
        for one in work.helpers
        if job_state(jobs.get(one.name)) is JobState.FAILED
    ]
    if lost:
        return Reason.CLIENTS_FAILED, f"goes on without {', '.join(lost)}, whose pods have failed"
    before = _before(work.main, main, observed)
    if before is not None:
        return Reason.RUNNING, f"{stage.name} is at work again; the last time: {before.message}"
    return Reason.RUNNING, f"{stage.name} is at work"


def _queued(works: Iterable[Work], jobs: Mapping[str, Object]) -> str | None:
    """Which part Kueue has not let in yet."""
    for one in works:
        job = jobs.get(one.name)
        queue = labels_of(job).get(QUEUE) if job is not None else None
        if job is not None and queue and job_state(job) is JobState.SUSPENDED:
            return f"{one.part.component} waits in the queue {queue} for its turn"
    return None


def trouble_of(work: Work, job: Object, observed: Observed) -> Trouble | None:
    """What keeps a Job's pods from their work at this moment; None where they are at it."""
    if job_state(job) is not JobState.ACTIVE:
        return None
    pods = owned_by(observed.pods, job)
    if not pods:
        return creation_trouble(job, observed.warnings, work.part.field)
    # Of several workers each may be the one in trouble; of pods that followed on each other only
    # the last tells how it is now.
    for pod in pods[: work.pods]:
        trouble = pod_trouble(pod, observed.warnings, work.part.field)
        if trouble is not None:
            return trouble
    return None


def _before(work: Work, job: Object | None, observed: Observed) -> Trouble | None:
    """Why the pod before the present one ended."""
    pods = owned_by(observed.pods, job) if job is not None else []
    troubles = (pod_trouble(pod, observed.warnings, work.part.field) for pod in pods[work.pods :])
    return next((trouble for trouble in troubles if trouble is not None), None)


def _failed(stage: Stage, work: StageWork, one: Work, job: Object, observed: Observed) -> Standing:
    failed = condition(job, "Failed") or {}
    trouble = _end(one, job, failed.get("reason"), observed)
    return Standing(
        stage,
        work,
        Stand.FAILED,
        trouble.reason,
        trouble.message,
        attempts=_attempts(status_of(job)),
        started=moment(status_of(job).get("startTime")),
        finished=moment(failed.get("lastTransitionTime")) or created(job),
    )


def _end(one: Work, job: Object, reason: str | None, observed: Observed) -> Trouble:
    """Why a Job has failed: its last pod's own words where there are any."""
    if reason == "DeadlineExceeded":
        return Trouble(Reason.DEADLINE_EXCEEDED, TOO_LONG)
    pods = owned_by(observed.pods, job)
    troubles = (pod_trouble(pod, observed.warnings, one.part.field) for pod in pods)
    said = next((trouble for trouble in troubles if trouble is not None), None)
    if said is not None:
        return said
    return Trouble(
        Reason.TRIES_EXHAUSTED,
        f"the pods of {one.part.component} have failed more often than spec.backoffLimit allows, "
        "and are gone; make the Job anew by deleting it, and look at its log",
    )
