"""An informer's cache comes to what the API server has, whatever happens between the two."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_api import FakeApi, child_of, run_object

from gptfl_operator.api import ApiError
from gptfl_operator.cache import Cache
from gptfl_operator.informer import ABSENT_PAUSE, LONGEST_PAUSE, PAGE, RELIST_SECONDS, Informer
from gptfl_operator.resources import INFERENCE_SERVICES, JOBS, RUNS, WARNINGS


class Watched:
    """An informer of runs (or of another kind) whose clock stands until a test moves it."""

    def __init__(self, api: FakeApi, resource: Any = RUNS, **more: Any) -> None:
        self.seconds = 0.0
        self.cache = Cache()
        self.told: list[str] = []
        self.cache.listen(lambda one: self.told.append(one["metadata"]["name"]))
        self.informer = Informer(
            api, resource, self.cache, clock=lambda: self.seconds, jitter=lambda: 0.0, **more
        )

    @property
    def names(self) -> set[str]:
        return {one["metadata"]["name"] for one in self.cache.all()}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def answers(*errors: ApiError | None) -> Callable[[str, str], ApiError | None]:
    """What the API server says, request by request; then it works."""
    left = list(errors)
    return lambda method, path: left.pop(0) if left else None


def test_what_is_there_is_listed_and_what_comes_is_watched(api: FakeApi) -> None:
    api.put("gptflruns", run_object("old"))
    watched = Watched(api)
    assert not watched.informer.is_synced
    watched.informer.step()
    assert watched.informer.is_synced
    api.put("gptflruns", run_object("new"))
    api.remove("gptflruns", "lab", "old")
    watched.informer.step()
    assert watched.names == {"new"}
    assert watched.told == ["old", "new", "old"]


def test_listed_objects_say_what_they_are(api: FakeApi) -> None:
    api.put("gptflruns", run_object("a"))
    watched = Watched(api)
    watched.informer.step()
    [found] = watched.cache.all()
    assert (found["apiVersion"], found["kind"]) == ("gptfl.io/v1alpha1", "GPTFLRun")


def test_long_lists_come_in_pages(api: FakeApi) -> None:
    for number in range(PAGE + 1):
        api.put("gptflruns", run_object(f"run-{number}"))
    watched = Watched(api)
    watched.informer.step()
    assert len(watched.names) == PAGE + 1
    assert [method for method, _ in api.requests] == ["GET", "GET"]


def test_a_watch_that_ends_is_taken_up_where_it_was(api: FakeApi) -> None:
    watched = Watched(api)
    watched.informer.step()
    for name in ("a", "b"):
        api.put("gptflruns", run_object(name))
        assert watched.informer.step() == 0
    assert watched.told == ["a", "b"]
    assert [method for method, _ in api.requests] == ["GET", "WATCH", "WATCH"]


def test_a_watch_that_ends_at_once_is_not_begun_again_all_the_time(api: FakeApi) -> None:
    watched = Watched(api)
    watched.informer.step()
    pauses = [watched.informer.step() for _ in range(10)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    api.put("gptflruns", run_object("news"))
    assert watched.informer.step() == 0
    assert watched.informer.step() == pauses[0]


def test_only_own_objects_are_watched_by_their_label(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    api.put("jobs", child_of(run, "ours"))
    api.put("jobs", {"metadata": {"name": "theirs", "namespace": "lab"}})
    watched = Watched(api, JOBS)
    watched.informer.step()
    assert watched.names == {"ours"}


def test_after_410_what_vanished_in_the_gap_is_told(api: FakeApi) -> None:
    api.put("gptflruns", run_object("ghost"))
    watched = Watched(api)
    watched.informer.step()
    api.remove("gptflruns", "lab", "ghost")
    api.put("gptflruns", run_object("new"))
    api.forget()
    watched.informer.step()  # the watch: 410, as an event in an answer of 200
    assert not watched.informer.is_synced, "nothing is decided until all is listed again"
    watched.informer.step()
    assert watched.informer.is_synced
    assert watched.names == {"new"}
    assert watched.told == ["ghost", "new", "ghost"]


def test_410_as_an_answer_is_as_good_as_one_as_an_event(api: FakeApi) -> None:
    watched = Watched(api)
    watched.informer.step()
    api.refuse = answers(ApiError(410, "Expired", "too old"))
    watched.informer.step()
    assert not watched.informer.is_synced
    watched.informer.step()
    assert watched.informer.is_synced


@pytest.mark.parametrize("status", [0, 403, 429, 500, 503])
def test_pauses_grow_to_two_seconds_and_no_more(api: FakeApi, status: int) -> None:
    watched = Watched(api)
    watched.informer.step()
    api.refuse = lambda method, path: ApiError(status, "Sorry", "not now")
    pauses = [watched.informer.step() for _ in range(12)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) == LONGEST_PAUSE
    assert watched.informer.is_synced, "what was heard still counts"
    api.refuse = lambda method, path: None
    api.put("gptflruns", run_object("meanwhile"))
    assert watched.informer.step() == 0
    assert watched.names == {"meanwhile"}
    assert [method for method, _ in api.requests].count("GET") == 1, "nothing is listed again"


def test_pauses_differ_between_informers(api: FakeApi) -> None:
    api.refuse = lambda method, path: ApiError(503, "Sorry", "not now")
    draws = iter([0.0, 1.0])
    informer = Informer(api, RUNS, Cache(), jitter=lambda: next(draws))
    first, second = informer.step(), informer.step()
    assert second == first, "twice as long, and half of that"


def test_a_right_that_is_missing_at_first_is_waited_for(api: FakeApi) -> None:
    api.refuse = answers(ApiError(403, "Forbidden", "no"))
    watched = Watched(api)
    watched.informer.step()
    assert not watched.informer.is_synced
    watched.informer.step()
    assert watched.informer.is_synced


def test_now_and_then_everything_is_listed_whatever_was_heard(api: FakeApi) -> None:
    api.put("gptflruns", run_object("lost"))
    watched = Watched(api)
    watched.informer.step()
    api.remove("gptflruns", "lab", "lost")
    api.log.clear()  # the watch never tells
    watched.informer.step()
    assert watched.names == {"lost"}
    watched.seconds = RELIST_SECONDS + 1
    watched.informer.step()
    assert watched.names == set()
    assert watched.told == ["lost", "lost"]


def test_a_kind_that_the_cluster_lacks_is_looked_for_now_and_then(api: FakeApi) -> None:
    api.refuse = answers(ApiError(404, "NotFound", "no such page"))
    watched = Watched(api, INFERENCE_SERVICES)
    assert watched.informer.step() == ABSENT_PAUSE
    assert watched.informer.is_synced, "nobody waits for it"
    assert not watched.informer.is_installed
    run = api.put("gptflruns", run_object())
    api.put("inferenceservices", child_of(run, "model"))
    watched.informer.step()
    assert watched.informer.is_installed
    assert watched.names == {"model"}


def test_a_kind_that_is_removed_takes_its_objects_along(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    api.put("inferenceservices", child_of(run, "model"))
    watched = Watched(api, INFERENCE_SERVICES)
    watched.informer.step()
    api.refuse = answers(ApiError(404, "NotFound", "no such page"))
    watched.informer.step()
    assert watched.names == set()
    assert not watched.informer.is_installed


def test_a_kind_that_has_to_be_there_is_waited_for(api: FakeApi) -> None:
    api.refuse = answers(ApiError(404, "NotFound", "no such page"))
    watched = Watched(api, RUNS)
    assert watched.informer.step() <= LONGEST_PAUSE
    assert not watched.informer.is_synced


def test_what_cannot_be_understood_ends_nothing(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(api)
    watched.informer.step()
    with monkeypatch.context() as broken:
        broken.setattr(api, "stream", lambda *_: iter([b'{"type": "ADDED", "object": {}}']))
        assert watched.informer.step() > 0
    api.put("gptflruns", run_object("a"))
    watched.informer.step()
    assert watched.names == {"a"}


def test_what_is_not_wanted_is_not_kept(api: FakeApi) -> None:
    for kind in ("Pod", "Node"):
        about = {"kind": kind, "namespace": "lab", "name": "x", "uid": "u"}
        event = {"metadata": {"name": kind.lower(), "namespace": "lab"}, "type": "Warning"}
        api.put("events", {**event, "involvedObject": about})
    watched = Watched(
        api, WARNINGS, is_wanted=lambda event: event["involvedObject"]["kind"] == "Pod"
    )
    watched.informer.step()
    assert watched.names == {"pod"}
