"""Decides which artifacts may go: by age, by whether a run still names them, or by both. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gptfl.errors import SpecError
from gptfl.store.runs import RunStatus

_AGE = re.compile(r"(\d+)\s*(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Candidate:
    """What is known of an artifact before it is removed."""

    stage: str
    key: str
    created: datetime | None
    """None for one that was not finished or whose record is damaged."""
    inputs: tuple[str, ...] = ()
    """Keys of what it was made from."""
    size: int = 0
    """Bytes."""


def reachable(runs: Iterable[RunStatus], candidates: Sequence[Candidate]) -> frozenset[str]:
    """Keys that a run names, and all that those were made from."""
    inputs = {candidate.key: candidate.inputs for candidate in candidates}
    waiting = [step.key for run in runs for step in run.steps if step.key]
    found: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting.extend(inputs.get(key, ()))
    return frozenset(found)


def choose(
    candidates: Sequence[Candidate],
    kept: frozenset[str],
    *,
    older_than: timedelta | None,
    unreachable: bool,
    now: datetime,
) -> list[Candidate]:
    """Those that meet every condition that is set; none at all when no condition is.

    `kept` are the keys that runs reach. What has no date is of no age, and goes only by
    reachability.
    """
    if older_than is None and not unreachable:
        return []

    def goes(candidate: Candidate) -> bool:
        if unreachable and candidate.key in kept:
            return False
        if older_than is None:
            return True
        return candidate.created is not None and now - candidate.created > older_than

    return [candidate for candidate in candidates if goes(candidate)]


def parse_age(text: str) -> timedelta:
    """``30d``, ``12h``, ``90m`` or ``2w``. Raises SpecError for anything else."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise SpecError.of("--older-than", f"{text!r} is not an age; write 30d, 12h, 90m or 2w")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise SpecError.of("--older-than", f"{text!r} is too long ago; use at most 999w") from error
