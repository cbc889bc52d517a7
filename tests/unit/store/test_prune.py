"""What may go is decided by age and by whether a run still names it."""

from datetime import UTC, datetime, timedelta

import pytest

from gptfl.errors import SpecError
from gptfl.store import RunStatus, StepStatus
from gptfl.store.prune import Candidate, choose, parse_age, reachable

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)

PROMPTS = Candidate("prompts", "p", NOW - 9 * DAY)
DRAWN = Candidate("generation", "g", NOW - 8 * DAY, inputs=("p",))
OLD = Candidate("generation", "old", NOW - 30 * DAY, inputs=("p",))
UNFINISHED = Candidate("pretraining", "half", None)
ALL = [PROMPTS, DRAWN, OLD, UNFINISHED]


def run_of(*keys: str) -> RunStatus:
    steps = tuple(StepStatus(name=key, stage="generation", key=key) for key in keys)
    return RunStatus(namespace="default", name="pets", uid="1", started=NOW, steps=steps)


def chosen(
    run: RunStatus | None, older_than: timedelta | None = None, *, unreachable: bool = False
) -> list[str]:
    kept = reachable([run] if run else [], ALL)
    going = choose(ALL, kept, older_than=older_than, unreachable=unreachable, now=NOW)
    return [candidate.key for candidate in going]


def test_without_a_condition_everything_stays() -> None:
    assert chosen(None) == []


def test_a_run_reaches_what_it_names_and_what_that_was_made_from() -> None:
    assert chosen(run_of("g"), unreachable=True) == ["old", "half"]


def test_without_runs_nothing_is_reached() -> None:
    assert chosen(None, unreachable=True) == ["p", "g", "old", "half"]


def test_by_age_alone_what_is_in_use_goes_too_and_what_has_no_date_stays() -> None:
    assert chosen(run_of("g"), 8.5 * DAY) == ["p", "old"]


def test_both_conditions_must_hold() -> None:
    assert chosen(run_of("g"), 8.5 * DAY, unreachable=True) == ["old"]


def test_an_unfinished_artifact_of_a_run_stays() -> None:
    assert "half" not in chosen(run_of("half"), unreachable=True)


@pytest.mark.parametrize(
    ("text", "age"), [("30d", 30 * DAY), ("12h", DAY / 2), ("90 m", DAY / 16), ("2w", 14 * DAY)]
)
def test_ages(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30 days", "9" * 12 + "w"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(SpecError, match=r"^--older-than: "):
        parse_age(text)
