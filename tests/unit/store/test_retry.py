"""What may do later is asked again for so long, with pauses that grow; anything else is not."""

import pytest

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.store.s3.retry import Retry


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def retry(time: Time, *, patience: float = 60, chance: float = 1.0) -> Retry:
    return Retry(lambda: patience, clock=time.clock, sleep=time.sleep, chance=lambda: chance)


def failing(times: int) -> list[Exception | str]:
    return [*(StoreUnavailableError("busy", reason="SlowDown") for _ in range(times)), "done"]


def attempts(outcomes: list[Exception | str]):  # type: ignore[no-untyped-def]
    remaining = iter(outcomes)

    def attempt() -> str:
        outcome = next(remaining)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


def test_pauses_double_up_to_five_seconds() -> None:
    time = Time()

    assert retry(time)(attempts(failing(9))) == "done"
    assert time.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_chance_shortens_them_by_half_at_most() -> None:
    time = Time()
    retry(time, chance=0.0)(attempts(failing(2)))

    assert time.pauses == [0.05, 0.1]


def test_patience_ends_with_the_last_error() -> None:
    time = Time()
    with pytest.raises(StoreUnavailableError, match="busy"):
        retry(time, patience=10)(attempts(failing(100)))

    assert sum(time.pauses) <= 10


def test_patience_is_counted_from_the_first_failure() -> None:
    time = Time()
    outcomes = attempts(failing(1))

    def slow() -> str:
        time.now += 1000
        return str(outcomes())

    assert retry(time, patience=1010)(slow) == "done"


def test_what_will_not_do_later_is_said_at_once() -> None:
    time = Time()
    with pytest.raises(StoreError, match="refused"):
        retry(time)(attempts([StoreError("refused"), "done"]))

    assert time.pauses == []


def test_each_repetition_is_told() -> None:
    told: list[str] = []
    time = Time()
    Retry(lambda: 60, told.append, time.clock, time.sleep)(attempts(failing(2)))

    assert told == ["SlowDown", "SlowDown"]
