"""One look at a run writes what is missing, once, to the right run, whatever happens meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_api import FakeApi, child_of, run_object
from prometheus_client import CollectorRegistry
from toy_brain import TOY, toy_decide

from gptfl.store.runs import RunStatus
from gptfl.telemetry.metrics.operator import OperatorMetrics
from gptfl_operator.api import ApiError
from gptfl_operator.cluster import Cluster
from gptfl_operator.controller import Brain, Controller
from gptfl_operator.model import (
    TOKEN_DIGEST,
    CertificateRequest,
    CertificateUse,
    Desired,
    EventNote,
    Object,
    Observed,
    ProbeRequest,
    Ref,
)
from gptfl_operator.queue import WorkQueue
from gptfl_operator.trials import Trials
from gptfl_operator.world import LOOKUP_SECONDS, World

KEY = ("lab", "digits")


class Bench:
    """An operator whose threads are the test: it hears and looks when it is told to."""

    def __init__(self, api: FakeApi, brain: Brain = TOY) -> None:
        self.api, self.seconds = api, 0.0
        self.registry = CollectorRegistry()
        metrics = OperatorMetrics(self.registry)
        self.may_write = True
        self.world = World(api, clock=lambda: self.seconds, jitter=lambda: 0.0)
        self.queue = WorkQueue(clock=lambda: self.seconds, jitter=lambda: 0.0)
        self.cluster = Cluster(api, "replica-1", metrics, lambda: self.may_write)
        self.controller = Controller(
            self.world,
            self.cluster,
            self.queue,
            brain,
            metrics,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            clock=lambda: self.seconds,
        )

    def hear(self) -> "Bench":
        """Every watch is told what has happened."""
        for informer in self.world.informers:
            informer.step()
        return self

    def look(self) -> int:
        """Looks at every run that is due; returns how many looks that took."""
        looks = 0
        while (key := self.queue.take()) is not None:
            self.controller.visit(key)
            looks += 1
            assert looks < 100, "it never ends"
        return looks

    def settle(self) -> "Bench":
        """Until there is nothing more to do."""
        for _ in range(5):
            self.hear()
            self.look()
        return self

    def count(self, result: str) -> float:
        name = "gptfl_operator_reconciles_total"
        return self.registry.get_sample_value(name, {"result": result}) or 0.0


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def names(api: FakeApi, plural: str) -> set[str]:
    return {one["metadata"]["name"] for one in api.of(plural)}


def answering(
    verb: str, part: str, error: ApiError | None
) -> Callable[[str, str], ApiError | None]:
    return lambda method, path: error if method == verb and part in path else None


def the(api: FakeApi, plural: str) -> dict[str, Any]:
    [found] = api.of(plural)
    return found


def finish(api: FakeApi, *, is_done: bool = True) -> None:
    """What a toy run takes for its end."""
    job = the(api, "jobs")
    notes = {"toy/done": "yes"} if is_done else {}
    api.put("jobs", {**job, "metadata": {**job["metadata"], "annotations": notes}})


def test_a_run_gets_its_objects_and_then_its_status(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    Bench(api).settle()
    assert names(api, "jobs") == {"digits-job"}
    assert the(api, "configmaps")["data"] == {"seed": "1"}
    assert the(api, "gptflruns")["status"]["phase"] == "Running"
    assert [path.rsplit("/", 1)[-1] for _, path in api.writes] == [
        "digits-config",
        "digits-job",
        "status",
    ]


def test_objects_are_the_runs_and_their_pods_can_be_found(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    Bench(api).settle()
    job, uid = the(api, "jobs"), run["metadata"]["uid"]
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["kind"]) == (uid, True, "GPTFLRun")
    assert job["metadata"]["labels"]["gptfl.io/run-uid"] == uid
    assert job["spec"]["template"]["metadata"]["labels"]["gptfl.io/run-uid"] == uid


def test_what_is_as_it_ought_to_be_is_not_written(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    before = len(api.writes)
    bench.queue.add(KEY)
    bench.settle()
    assert len(api.writes) == before
    assert bench.count("settled") > 0


def test_a_new_operator_finds_nothing_to_write(api: FakeApi) -> None:
    for number in range(20):
        api.put("gptflruns", run_object(f"run-{number}"))
    Bench(api).settle()
    before = len(api.writes)
    assert Bench(api).hear().look() == 20
    assert len(api.writes) == before


def test_all_runs_get_their_objects_before_any_gets_its_status(api: FakeApi) -> None:
    for number in range(10):
        api.put("gptflruns", run_object(f"run-{number}"))
    Bench(api).hear().look()
    kinds = [path.rsplit("/", 1)[-1] == "status" for _, path in api.writes]
    assert kinds == [False] * 20 + [True] * 10


def test_what_is_deleted_by_hand_comes_back(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    api.remove("jobs", "lab", "digits-job")
    bench.settle()
    assert names(api, "jobs") == {"digits-job"}


def test_what_vanished_while_nobody_could_watch_comes_back(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    api.remove("jobs", "lab", "digits-job")
    api.forget()
    bench.settle()
    assert names(api, "jobs") == {"digits-job"}


def test_what_is_changed_by_hand_is_set_right(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    theirs = the(api, "configmaps")
    theirs["metadata"]["managedFields"] = []  # an update: they own what they wrote
    api.put("configmaps", {**theirs, "data": {"seed": "666"}})
    bench.settle()
    assert the(api, "configmaps")["data"] == {"seed": "1"}


def test_a_changed_run_changes_its_objects(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    api.put("gptflruns", {**run, "spec": {"seed": 2}})
    bench.settle()
    assert the(api, "configmaps")["data"] == {"seed": "2"}
    assert the(api, "gptflruns")["status"]["observedGeneration"] == 2


def test_what_is_no_longer_wanted_is_deleted_and_only_what_is_the_runs(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    api.put("configmaps", child_of(run, "old"))
    forged = child_of(run, "forged")
    forged["metadata"]["ownerReferences"] = []
    api.put("configmaps", forged)
    Bench(api).settle()
    assert names(api, "configmaps") == {"digits-config", "forged"}


def test_a_deletion_means_that_very_object(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    api.put("configmaps", child_of(run, "old"))
    bench = Bench(api).hear()

    def replaced(method: str, path: str) -> None:
        if method == "DELETE":
            api.before = lambda method, path: None
            api.remove("configmaps", "lab", "old")
            api.put("configmaps", {"metadata": {"name": "old", "namespace": "lab"}})

    api.before = replaced
    bench.look()
    assert "old" in names(api, "configmaps"), "the one that somebody made meanwhile"


def test_nothing_is_made_for_a_run_that_is_gone(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).hear()
    api.remove("gptflruns", "lab", "digits")  # and nobody has told the operator
    bench.look()
    assert api.writes == []


def test_nothing_is_made_for_a_run_for_which_there_is_another_of_its_name(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).hear()
    api.remove("gptflruns", "lab", "digits")
    later = api.put("gptflruns", run_object(seed=9))
    bench.look()
    assert api.writes == []
    bench.settle()
    [owner] = the(api, "jobs")["metadata"]["ownerReferences"]
    assert owner["uid"] == later["metadata"]["uid"]


def test_nothing_is_made_for_a_run_that_is_being_deleted(api: FakeApi) -> None:
    run = run_object()
    run["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.put("gptflruns", run)
    Bench(api).settle()
    assert api.writes == []


def test_a_run_that_has_changed_unheard_is_looked_at_as_it_is_now(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    bench = Bench(api).hear()
    api.put("gptflruns", {**run, "spec": {"seed": 7}})
    bench.look()
    assert the(api, "configmaps")["data"] == {"seed": "7"}
    seeds = [one["data"]["seed"] for _, _, one in api.log if one["kind"] == "ConfigMap"]
    assert seeds == ["7"]


def test_it_acts_on_nothing_older_than_its_own_last_write(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).hear()
    bench.look()
    before = len(api.writes)
    bench.queue.add(KEY)  # before any watch has told of the objects
    bench.look()
    assert len(api.writes) == before


def test_nothing_is_decided_while_what_is_known_is_incomplete(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    api.forget()
    runs = next(one for one in bench.world.informers if one.resource.kind == "GPTFLRun")
    api.refuse = lambda method, path: None
    runs.step()  # 410
    assert not bench.world.is_synced
    before = list(api.requests)
    bench.queue.add(KEY)
    bench.look()
    assert api.requests == before
    runs.step()
    bench.seconds += 1
    assert bench.look() > 0


def test_a_failure_is_tried_again_later_and_stops_nobody_else(api: FakeApi) -> None:
    api.put("gptflruns", run_object("bad"))
    api.put("gptflruns", run_object("good"))
    api.refuse = answering("PATCH", "bad", ApiError(500, "InternalError", "etcd is full"))
    bench = Bench(api).settle()
    assert names(api, "jobs") == {"good-job"}
    assert bench.count("failed") > 0
    api.refuse = lambda method, path: None
    bench.look()
    bench.seconds += 100
    bench.settle()
    assert names(api, "jobs") == {"good-job", "bad-job"}


def test_a_fault_in_the_decision_ends_no_worker(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(run: Object, observed: Observed, now: datetime) -> Desired:
        if run["metadata"]["name"] == "bad":
            raise KeyError("spec")
        return toy_decide(run, observed, now)

    api.put("gptflruns", run_object("bad"))
    api.put("gptflruns", run_object("good"))
    bench = Bench(api, Brain(decide=faulty)).settle()
    assert names(api, "jobs") == {"good-job"}
    assert bench.count("failed") > 0
    assert "fault of the operator" in caplog.text


def test_what_the_api_server_will_not_take_is_in_the_status(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    quota = ApiError(403, "Forbidden", "exceeded quota: pods")
    api.refuse = answering("PATCH", "jobs", quota)
    bench = Bench(api).settle()
    [condition] = the(api, "gptflruns")["status"]["conditions"]
    assert condition["message"] == "Job digits-job: exceeded quota: pods"
    assert bench.count("refused") > 0
    api.refuse = lambda method, path: None
    bench.seconds += 100
    bench.settle()
    [condition] = the(api, "gptflruns")["status"]["conditions"]
    assert condition["message"] == "All is well."
    assert names(api, "jobs") == {"digits-job"}


def test_a_refusal_is_written_once_however_often_it_is_heard(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    api.refuse = answering("PATCH", "jobs", ApiError(403, "Forbidden", "no"))
    bench = Bench(api).settle()
    for _ in range(10):
        bench.seconds += 100
        bench.settle()
    written = [path for _, path in api.writes if path.endswith("/status")]
    assert len(written) == 1


def test_what_has_a_name_of_ours_and_is_somebody_elses_is_not_taken(api: FakeApi) -> None:
    theirs = {"metadata": {"name": "digits-config", "namespace": "lab"}, "data": {"a": "b"}}
    api.put("configmaps", theirs)
    api.put("gptflruns", run_object())
    Bench(api).settle()
    assert the(api, "configmaps")["data"] == {"a": "b"}
    [condition] = the(api, "gptflruns")["status"]["conditions"]
    assert "conflict" in condition["message"]


def test_what_is_on_its_way_out_is_waited_for(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    going = child_of(run, "digits-job")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.put("jobs", going)
    bench = Bench(api).settle()
    assert not [path for _, path in api.writes if "jobs" in path]
    api.remove("jobs", "lab", "digits-job")
    bench.settle()
    assert names(api, "jobs") == {"digits-job"}


def test_an_event_is_told_once_for_a_transition(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    finish(api)
    # It is killed between the event and the status, again and again.
    api.refuse = answering("PATCH", "/status", ApiError(0, "Unreachable", "away"))
    for _ in range(3):
        bench.settle()
        bench.seconds += 100
        bench = Bench(api)
    api.refuse = lambda method, path: None
    bench.settle()
    [event] = api.of("events")
    assert (event["reason"], event["type"]) == ("Succeeded", "Normal")
    assert event["regarding"]["name"] == "digits"
    assert the(api, "gptflruns")["status"]["phase"] == "Succeeded"


def test_the_same_transition_at_another_time_is_told_again(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    for number, is_done in enumerate([True, False, True]):
        bench.controller.now = lambda day=number + 2: datetime(2026, 1, day, tzinfo=UTC)  # type: ignore[misc]
        finish(api, is_done=is_done)
        bench.settle()
    assert [one["reason"] for one in api.of("events")] == ["Succeeded", "Running", "Succeeded"]


def test_an_event_that_cannot_be_told_holds_nothing_up(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    finish(api)
    api.refuse = answering("POST", "events", ApiError(403, "Forbidden", "no events"))
    bench.settle()
    assert the(api, "gptflruns")["status"]["phase"] == "Succeeded"


def test_a_status_that_was_removed_by_hand_is_written_again(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    api.put("gptflruns", {**run, "metadata": dict(run["metadata"]), "status": {"phase": "odd"}})
    bench.settle()
    assert the(api, "gptflruns")["status"]["phase"] == "Running"
    assert the(api, "gptflruns")["status"]["conditions"]


def deciding(desired: Desired) -> Brain:
    return Brain(decide=lambda run, observed, now: desired)


def test_a_run_is_looked_at_again_when_the_decision_says_so(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api, deciding(Desired(requeue_after=30))).settle()
    assert bench.look() == 0
    bench.seconds += 29
    assert bench.look() == 0
    bench.seconds += 1
    assert bench.look() == 1


def test_a_run_whose_time_is_over_is_deleted_with_all_it_has(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api).settle()
    bench.controller.brain = deciding(Desired(delete_run=True))
    bench.queue.add(KEY)
    bench.settle()
    assert api.of("gptflruns") == []
    assert api.of("jobs") == []


def test_a_run_that_is_deleted_leaves_nothing_in_memory(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api, deciding(Desired(requeue_after=30))).settle()
    api.remove("gptflruns", "lab", "digits")
    bench.settle()
    bench.seconds += 100
    assert bench.look() == 0
    assert all(not cache.all() for cache in bench.world.caches.values())


def test_the_decision_sees_pods_warnings_and_what_the_store_says(api: FakeApi) -> None:
    seen: list[Observed] = []

    def note(run: Object, observed: Observed, now: datetime) -> Desired:
        seen.append(observed)
        return Desired()

    run = api.put("gptflruns", run_object())
    job = api.put("jobs", child_of(run, "digits-job"))
    pod = child_of(job, "digits-job-x")
    pod["metadata"]["labels"] = {"gptfl.io/run-uid": run["metadata"]["uid"]}
    pod = api.put("pods", pod)
    about = {"kind": "Pod", "namespace": "lab", "name": "digits-job-x"}
    for name, uid in (("ours", pod["metadata"]["uid"]), ("of-an-older-pod", "gone")):
        event = {"metadata": {"name": name, "namespace": "lab"}, "reason": name}
        api.put("events", {**event, "involvedObject": {**about, "uid": uid}, "type": "Warning"})
    status = RunStatus(namespace="lab", name="digits", uid="u", started=datetime.now(UTC))
    brain = Brain(decide=note, progress=lambda run: (status, "slow"))
    Bench(api, brain).settle()
    last = seen[-1]
    assert [one["metadata"]["name"] for one in (*last.jobs, *last.pods)] == [
        "digits-job",
        "digits-job-x",
    ]
    assert [one["reason"] for one in last.warnings] == ["ours"]
    assert (last.progress, last.store_problem) == (status, "slow")
    assert "Job" in last.kinds


def test_a_warning_about_a_pod_is_news_of_its_run(api: FakeApi) -> None:
    run = api.put("gptflruns", run_object())
    pod = api.put("pods", child_of(run, "x"))
    bench = Bench(api).settle()
    about = {"kind": "Pod", "namespace": "lab", "name": "x", "uid": pod["metadata"]["uid"]}
    event = {"metadata": {"name": "e", "namespace": "lab"}, "type": "Warning"}
    api.put("events", {**event, "involvedObject": about})
    bench.hear()
    assert bench.queue.take() == KEY


def test_what_a_run_names_is_read_live_and_not_each_time(api: FakeApi) -> None:
    secret = Ref("v1", "Secret", "lab", "keys")
    claim = Ref("v1", "PersistentVolumeClaim", "lab", "data")
    seen: list[Observed] = []

    def note(run: Object, observed: Observed, now: datetime) -> Desired:
        seen.append(observed)
        return Desired()

    api.put("gptflruns", run_object())
    api.put("secrets", {"metadata": {"name": "keys", "namespace": "lab"}, "data": {"k": "dg=="}})
    bench = Bench(api, replace(TOY, decide=note, reads=lambda run: (secret, claim)))
    for _ in range(3):
        bench.queue.add(KEY)
        bench.settle()
    found = seen[-1].named[secret]
    assert found is not None
    assert found["data"]["k"].startswith("sha256:")
    assert seen[-1].named[claim] is None
    read = [path for method, path in api.requests if path.endswith("secrets/keys")]
    assert len(read) == 1
    api.put("persistentvolumeclaims", {"metadata": {"name": "data", "namespace": "lab"}})
    bench.seconds += LOOKUP_SECONDS + 1
    bench.queue.add(KEY)
    bench.settle()
    assert seen[-1].named[claim] is not None


def test_a_replica_that_is_not_its_turn_writes_nothing(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    bench = Bench(api)
    bench.may_write = False
    bench.settle()
    assert api.writes == []
    bench.may_write = True
    bench.seconds += 100
    bench.settle()
    assert names(api, "jobs") == {"digits-job"}


def test_namespaces_that_are_not_looked_after_are_not_even_asked_for(api: FakeApi) -> None:
    api.put("gptflruns", run_object(namespace="lab"))
    api.put("gptflruns", run_object(namespace="elsewhere"))
    bench = Bench(api)
    bench.world = World(api, ["lab", "field"], jitter=lambda: 0.0)
    bench.controller = replace(bench.controller, world=bench.world)
    bench.settle()
    assert {one["metadata"]["namespace"] for one in api.of("jobs")} == {"lab"}
    assert all("/namespaces/" in path for _, path in api.requests)


def test_an_event_note_of_any_length_fits(api: FakeApi) -> None:
    api.put("gptflruns", run_object())
    note = EventNote("Long", "x" * 5000)
    Bench(api, deciding(Desired(status={"phase": "Running"}, events=(note,)))).settle()
    assert {len(one["note"]) for one in api.of("events")} == {1024}


def test_secrets_with_keys_are_made_once_the_authority_first(api: FakeApi) -> None:
    def wants(run: Object, observed: Observed, now: datetime) -> Desired:
        there = {one["metadata"]["name"] for one in observed.secrets}
        asked = (
            CertificateRequest(CertificateUse.AUTHORITY, secret("ca"), common_name="lab"),
            CertificateRequest(CertificateUse.CLIENT, secret("north"), "ca", "north"),
        )
        missing = (one for one in asked if one.secret["metadata"]["name"] not in there)
        return Desired(certificates=tuple(missing))

    def secret(name: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}

    api.put("gptflruns", run_object())
    bench = Bench(api, Brain(decide=wants)).settle()
    assert [path.rsplit("/", 1)[-1] for _, path in api.writes] == ["ca", "north"]
    north = api.objects["secrets", "lab", "north"]
    assert TOKEN_DIGEST in north["metadata"]["annotations"]
    api.remove("secrets", "lab", "north")  # revoked by deletion: the next one has a new key
    bench.settle()
    assert api.objects["secrets", "lab", "north"]["data"] != north["data"]
    assert [path.rsplit("/", 1)[-1] for _, path in api.writes] == ["ca", "north", "north"]
    assert north["data"]["token"] not in str(bench.world.caches["Secret"].all())


def test_what_came_of_a_probe_is_told_to_the_next_decision(api: FakeApi) -> None:
    seen: list[dict[str, str]] = []
    request = ProbeRequest("digits-1", "http://model", {})

    def wants(run: Object, observed: Observed, now: datetime) -> Desired:
        seen.append(dict(observed.probes))
        return Desired(probes=() if observed.probes else (request,))

    class AtOnce(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            later.append(lambda: fn(*args, **kwargs))

    later: list[Callable[[], None]] = []
    api.put("gptflruns", run_object())
    bench = Bench(api, Brain(decide=wants))
    bench.controller.trials = Trials(lambda request: "no answer", AtOnce())
    bench.settle()
    assert seen[-1] == {}
    later.pop()()
    bench.look()
    assert seen[-1] == {"digits-1": "no answer"}
    assert later == []
