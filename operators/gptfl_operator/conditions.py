"""The conditions of a run: all at each visit, each with a time that moves only with its status."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gptfl.spec.run import RunSpec
from gptfl.spec.status import Condition, ConditionStatus, ConditionType
from gptfl_operator.model import EventNote, EventType
from gptfl_operator.objects import moment
from gptfl_operator.plan import CONDITIONS
from gptfl_operator.publishing import Publication
from gptfl_operator.reasons import Reason
from gptfl_operator.standing import Stand, Standing


@dataclass(frozen=True)
class Verdict:
    """One condition without its times."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


def verdicts(
    spec: RunSpec,
    obstacle: tuple[Reason, str] | None,
    standings: Sequence[Standing],
    publication: Publication,
) -> tuple[Verdict, ...]:
    """All conditions of a run whose file is right."""
    failure = _failure(standings, publication)
    return (
        _accepted(obstacle),
        *_of_stages(standings),
        _published(standings, publication),
        _complete(standings, publication, failure),
        _failed(failure),
        _suspended(is_suspended=spec.suspend),
    )


def refused(message: str, *, suspended: bool) -> tuple[Verdict, ...]:
    """All conditions of a run whose file is wrong."""
    unknown = "the run is not accepted"
    about_stages = (*CONDITIONS.values(), ConditionType.PUBLISHED)
    return (
        Verdict(ConditionType.ACCEPTED, ConditionStatus.FALSE, Reason.INVALID_SPEC, message),
        *(
            Verdict(one, ConditionStatus.UNKNOWN, Reason.NOT_ACCEPTED, unknown)
            for one in about_stages
        ),
        Verdict(ConditionType.COMPLETE, ConditionStatus.FALSE, Reason.NOT_ACCEPTED, unknown),
        Verdict(ConditionType.FAILED, ConditionStatus.TRUE, Reason.INVALID_SPEC, message),
        _suspended(is_suspended=suspended),
    )


def conditions(
    found: Sequence[Verdict], before: Any, generation: int | None, now: datetime
) -> list[Condition]:
    """The verdicts with their times. `before` is the list of the status that the run has."""
    times = {
        (one.get("type"), one.get("status")): moment(one.get("lastTransitionTime"))
        for one in _listed(before)
    }
    return [
        Condition(
            type=one.type,
            status=one.status,
            reason=one.reason.value,
            message=one.message,
            observed_generation=generation,
            last_transition_time=times.get((one.type.value, one.status.value)) or now,
        )
        for one in found
    ]


def notes(found: Sequence[Verdict], before: Any) -> tuple[EventNote, ...]:
    """An event for each condition that has become true, or has a new reason for being false."""
    known = {one.get("type"): (one.get("status"), one.get("reason")) for one in _listed(before)}
    return tuple(
        EventNote(
            one.reason.value,
            f"{one.type.value}: {one.message}",
            EventType.WARNING if _is_bad(one) else EventType.NORMAL,
        )
        for one in found
        if known.get(one.type.value) != (one.status.value, one.reason.value)
        and one.reason not in _QUIET
        and one.status is not ConditionStatus.UNKNOWN
    )


_QUIET = (Reason.NO_FAILURE, Reason.NOT_SUSPENDED, Reason.IN_PROGRESS, Reason.STAGE_FAILED)
_GOOD = (
    Reason.RUNNING,
    Reason.QUEUED,
    Reason.SUSPENDED,
    Reason.ISSUING_CERTIFICATES,
    Reason.LOADING,
    Reason.PROBING,
    Reason.SUPERSEDED,
    Reason.PINNED,
    Reason.NO_KSERVE,
)


def _is_bad(one: Verdict) -> bool:
    if one.type is ConditionType.FAILED:
        return one.status is ConditionStatus.TRUE
    return one.status is ConditionStatus.FALSE and one.reason not in _GOOD


def _listed(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in (value or ()) if isinstance(one, Mapping))


def _accepted(obstacle: tuple[Reason, str] | None) -> Verdict:
    if obstacle is None:
        words = "the spec is right, and what it names is there"
        return Verdict(ConditionType.ACCEPTED, ConditionStatus.TRUE, Reason.ACCEPTED, words)
    return Verdict(ConditionType.ACCEPTED, ConditionStatus.FALSE, *obstacle)


_STATUS = {
    Stand.WAITING: ConditionStatus.UNKNOWN,
    Stand.WORKING: ConditionStatus.FALSE,
    Stand.DONE: ConditionStatus.TRUE,
    Stand.FAILED: ConditionStatus.FALSE,
}


def _of_stages(standings: Sequence[Standing]) -> Iterator[Verdict]:
    """Prompts have no condition of their own: while they are open, `Generated` speaks of them."""
    by_stage = {one.stage.name: one for one in standings}
    if by_stage["prompts"].stand is not Stand.DONE:
        by_stage["generation"] = by_stage["prompts"]
    for stage, kind in CONDITIONS.items():
        one = by_stage[stage]
        yield Verdict(kind, _STATUS[one.stand], one.reason, one.message)


def _published(standings: Sequence[Standing], publication: Publication) -> Verdict:
    """Until the model is exported, the export speaks."""
    export = standings[-1]
    if export.stand is not Stand.DONE:
        return Verdict(
            ConditionType.PUBLISHED, _STATUS[export.stand], export.reason, export.message
        )
    status = ConditionStatus.FALSE
    if publication.is_published:
        status = ConditionStatus.TRUE
    elif publication.reason is Reason.PENDING:
        status = ConditionStatus.UNKNOWN
    return Verdict(ConditionType.PUBLISHED, status, publication.reason, publication.message)


def _failure(standings: Sequence[Standing], publication: Publication) -> tuple[Reason, str] | None:
    for one in standings:
        if one.stand is Stand.FAILED:
            return one.reason, f"{one.stage.name}: {one.message}"
    if publication.has_failed:
        return publication.reason, publication.message
    return None


def _complete(
    standings: Sequence[Standing],
    publication: Publication,
    failure: tuple[Reason, str] | None,
) -> Verdict:
    kind = ConditionType.COMPLETE
    if failure is not None:
        words = "the run has failed; the condition Failed says why"
        return Verdict(kind, ConditionStatus.FALSE, Reason.STAGE_FAILED, words)
    if is_complete(standings, publication):
        return Verdict(kind, ConditionStatus.TRUE, Reason.SUCCEEDED, "all is done")
    current = next((one.stage.name for one in standings if one.stand is not Stand.DONE), "serving")
    return Verdict(kind, ConditionStatus.FALSE, Reason.IN_PROGRESS, f"{current} is not done yet")


def is_complete(standings: Sequence[Standing], publication: Publication) -> bool:
    """Whether nothing is left to do."""
    return standings[-1].stand is Stand.DONE and publication.is_over


def _failed(failure: tuple[Reason, str] | None) -> Verdict:
    if failure is not None:
        return Verdict(ConditionType.FAILED, ConditionStatus.TRUE, *failure)
    words = "nothing has failed for good"
    return Verdict(ConditionType.FAILED, ConditionStatus.FALSE, Reason.NO_FAILURE, words)


def _suspended(*, is_suspended: bool) -> Verdict:
    kind = ConditionType.SUSPENDED
    if is_suspended:
        return Verdict(kind, ConditionStatus.TRUE, Reason.SUSPENDED, "spec.suspend is true")
    return Verdict(kind, ConditionStatus.FALSE, Reason.NOT_SUSPENDED, "spec.suspend is false")
