"""The cache knows the newest of what it hears, from whichever side it hears it."""

from typing import Any

import pytest

from gptfl_operator import cache as cache_module
from gptfl_operator.cache import Cache, kept
from gptfl_operator.model import KEEPS_VALUES_LABEL, RUN_UID_LABEL


def job(version: int, name: str = "a", uid: str = "u1", **fields: Any) -> dict[str, Any]:
    metadata = {"namespace": "lab", "name": name, "uid": uid, "resourceVersion": str(version)}
    metadata["labels"] = {RUN_UID_LABEL: "run-1"}  # type: ignore[assignment]
    return {"kind": "Job", "metadata": metadata, **fields}


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def told(cache: Cache) -> list[str]:
    names: list[str] = []
    cache.listen(lambda one: names.append(one["metadata"]["resourceVersion"]))
    return names


def test_what_is_older_than_what_is_known_changes_nothing(cache: Cache, told: list[str]) -> None:
    cache.put(job(10))  # the answer to a write of ours
    cache.put(job(8))  # what the watch tells of the time before
    assert cache.get(("lab", "a")) == job(10)
    assert told == ["10"]


def test_the_watch_telling_of_our_own_write_is_no_news(cache: Cache, told: list[str]) -> None:
    cache.put(job(10))
    cache.put(job(10))
    assert told == ["10"]


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted_since(cache: Cache) -> None:
    cache.put(job(5))
    cache.remove(job(12))
    cache.put(job(10))
    assert cache.get(("lab", "a")) is None


def test_one_that_is_made_again_under_the_name_is_another_one(cache: Cache) -> None:
    cache.put(job(5))
    cache.put(job(14, uid="u2"))  # we made it again: the answer is here before the watch's news
    cache.remove(job(12))
    found = cache.get(("lab", "a"))
    assert found is not None
    assert found["metadata"]["uid"] == "u2"


def test_a_list_shows_what_vanished_unseen(cache: Cache, told: list[str]) -> None:
    cache.put(job(3, "a"))
    cache.put(job(4, "b"))
    cache.replace([job(4, "b")], version=9)
    assert [one["metadata"]["name"] for one in cache.all()] == ["b"]
    assert told == ["3", "4", "3"]


def test_what_was_made_after_the_list_was_read_has_not_vanished(cache: Cache) -> None:
    cache.put(job(11, "new"))
    cache.replace([], version=9)
    assert cache.get(("lab", "new")) is not None


def test_a_list_of_one_namespace_says_nothing_of_the_others(cache: Cache) -> None:
    cache.put(job(3))
    cache.replace([], version=9, within="elsewhere")
    assert cache.get(("lab", "a")) is not None


def test_a_kind_that_was_removed_may_come_back(cache: Cache) -> None:
    cache.put(job(3))
    cache.clear()
    assert cache.all() == []
    cache.put(job(5, uid="u2"))
    assert cache.get(("lab", "a")) is not None


def test_objects_are_found_by_the_run_they_belong_to(cache: Cache) -> None:
    cache.put(job(3, "b"))
    cache.put(job(4, "a"))
    assert [one["metadata"]["name"] for one in cache.of("run-1")] == ["a", "b"]
    cache.remove(job(6, "a"))
    cache.remove(job(7, "b"))
    assert cache.of("run-1") == ()


def test_a_run_belongs_to_itself_whatever_its_labels_say(cache: Cache) -> None:
    run = job(3) | {"kind": "GPTFLRun"}
    cache.put(run)
    assert cache.of("u1") == (run,)


def test_graves_are_not_kept_for_ever(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "GRAVES", 2)
    for number, name in enumerate("abc", start=1):
        cache.remove(job(number, name))
    cache.put(job(1, "a"))
    cache.put(job(2, "b"))
    assert [one["metadata"]["name"] for one in cache.all()] == ["a"]


def test_no_value_of_a_secret_is_kept_but_a_change_shows() -> None:
    def secret(value: str) -> dict[str, Any]:
        return kept({"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": value}})

    assert "aHVzaA==" not in str(secret("aHVzaA=="))
    assert secret("aHVzaA==") == secret("aHVzaA==")
    assert secret("aHVzaA==") != secret("bG91ZA==")


def test_a_secret_of_our_own_is_kept_when_we_have_to_read_it() -> None:
    labels = {KEEPS_VALUES_LABEL: "true"}
    given = {"kind": "Secret", "metadata": {"name": "ca", "labels": labels}, "data": {"k": "v"}}
    assert kept(given)["data"] == {"k": "v"}


def test_of_who_set_fields_only_what_we_applied_is_kept() -> None:
    applied = {"manager": "gptfl-operator", "operation": "Apply"}
    status = {"manager": "gptfl-operator", "operation": "Update", "subresource": "status"}
    metadata = {"managedFields": [{"manager": "kubectl", "operation": "Apply"}, status, applied]}
    assert kept({"kind": "Job", "metadata": metadata})["metadata"] == {"managedFields": [applied]}


def test_of_a_warning_what_it_says_is_kept() -> None:
    event = {
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod"},
        "reason": "FailedMount",
        "message": "no such volume",
        "count": 3,
        "lastTimestamp": None,
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "source": {"component": "kubelet"},
    }
    said = kept(event)
    assert said["lastTimestamp"] == "2026-01-01T00:00:00.000000Z"
    assert said["message"] == "no such volume"
    assert "source" not in said
