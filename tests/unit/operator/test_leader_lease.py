"""One replica writes at a time; the next takes over when the lease runs out, or at once."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from fake_api import FakeApi

from gptfl_operator.api import ApiError
from gptfl_operator.lease import DURATION, RENEW_DEADLINE, Lease


class Clock:
    """One time for all, of which each replica's own clock may be off."""

    def __init__(self) -> None:
        self.seconds = 1000.0


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def replica(api: FakeApi, clock: Clock, name: str, *, off: float = 0.0) -> Lease:
    """`off` is by how many seconds its wall clock is wrong."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Lease(
        api,
        "gptfl",
        "operator",
        name,
        clock=lambda: clock.seconds,
        now=lambda: start + timedelta(seconds=clock.seconds + off),
    )


def spec(api: FakeApi) -> dict[str, object]:
    [lease] = api.of("leases")
    found: dict[str, object] = lease["spec"]
    return found


def test_the_first_works_and_the_second_waits(api: FakeApi, clock: Clock) -> None:
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    assert first.step()
    assert not second.step()
    assert (first.is_held, second.is_held) == (True, False)
    assert spec(api)["holderIdentity"] == "a"


def test_as_long_as_it_is_renewed_nobody_takes_it(api: FakeApi, clock: Clock) -> None:
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    for _ in range(60):
        assert first.step()
        assert not second.step()
        clock.seconds += 2


def test_a_renewal_is_one_request(api: FakeApi, clock: Clock) -> None:
    first = replica(api, clock, "a")
    first.step()
    api.requests.clear()
    for _ in range(3):
        assert first.step()
    assert [method for method, _ in api.requests] == ["PUT"] * 3


@pytest.mark.parametrize("what", ["touched", "removed"])
def test_a_lease_that_somebody_else_wrote_or_removed_is_read_again(
    api: FakeApi, clock: Clock, what: str
) -> None:
    first = replica(api, clock, "a")
    first.step()
    if what == "removed":
        api.remove("leases", "gptfl", "operator")
    else:
        [lease] = api.of("leases")
        api.put("leases", {**lease, "metadata": {**lease["metadata"], "labels": {"a": "b"}}})
    assert first.step()
    assert spec(api)["holderIdentity"] == "a"


@pytest.mark.parametrize("off", [-3600.0, 0.0, 3600.0])
def test_one_that_was_killed_is_followed_when_the_lease_has_run_out(
    api: FakeApi, clock: Clock, off: float
) -> None:
    first, second = replica(api, clock, "a", off=off), replica(api, clock, "b")
    first.step()
    second.step()
    clock.seconds += DURATION - 0.1
    assert not second.step()
    clock.seconds += 0.2
    assert second.step()
    assert spec(api)["leaseTransitions"] == 1


def test_one_that_comes_later_waits_its_time_whatever_the_lease_says_of_when(
    api: FakeApi, clock: Clock
) -> None:
    first = replica(api, clock, "a", off=-3600.0)
    first.step()
    second = replica(api, clock, "b")
    assert not second.step(), "it looks an hour old and may have been renewed a second ago"
    clock.seconds += DURATION + 1
    assert second.step()


def test_one_that_cannot_renew_stops_before_another_may_start(api: FakeApi, clock: Clock) -> None:
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.step()
    second.step()
    api.refuse = lambda method, path: ApiError(0, "Unreachable", "away")
    clock.seconds += RENEW_DEADLINE - 1
    assert first.step(), "it may be back in time"
    clock.seconds += 1.1
    assert not first.is_held
    assert not first.step()
    assert clock.seconds < 1000 + DURATION


def test_one_that_hangs_in_a_request_does_not_believe_that_it_holds_it(
    api: FakeApi, clock: Clock
) -> None:
    first = replica(api, clock, "a")
    first.step()

    def hang(method: str, path: str) -> None:
        clock.seconds += RENEW_DEADLINE

    api.before = hang
    assert not first.step(), "counted from when it was asked, not from when it was answered"


def test_who_writes_second_at_the_same_moment_has_lost(api: FakeApi, clock: Clock) -> None:
    dead, first, second = (replica(api, clock, name) for name in "abc")
    dead.step()
    first.step()
    second.step()
    clock.seconds += DURATION + 1

    def overtake(method: str, path: str) -> None:
        if method == "PUT":
            api.before = lambda method, path: None
            assert second.step()

    api.before = overtake
    assert not first.step()
    assert (first.is_held, second.is_held) == (False, True)


def test_one_that_ends_hands_over_at_once(api: FakeApi, clock: Clock) -> None:
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.step()
    second.step()
    first.release()
    assert not first.is_held
    assert second.step()


def test_one_that_has_lost_it_gives_nothing_away(api: FakeApi, clock: Clock) -> None:
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.step()
    second.step()
    clock.seconds += DURATION + 1
    second.step()
    first.release()
    assert spec(api)["holderIdentity"] == "b"


def test_one_that_starts_again_under_its_name_goes_on(api: FakeApi, clock: Clock) -> None:
    replica(api, clock, "a").step()
    assert replica(api, clock, "a").step()
    assert spec(api)["leaseTransitions"] == 0


def test_keeping_ends_when_it_is_lost_or_when_told(
    api: FakeApi, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptfl_operator.lease.PAUSE", 0.001)
    lease, stop = replica(api, clock, "a"), threading.Event()
    assert lease.acquire(stop)

    def another_day(method: str, path: str) -> None:
        clock.seconds += RENEW_DEADLINE + 1

    api.refuse = lambda method, path: ApiError(0, "Unreachable", "away")
    api.before = another_day
    assert not lease.keep(stop)
    stop.set()
    assert not lease.acquire(stop)
