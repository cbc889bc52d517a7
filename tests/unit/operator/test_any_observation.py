"""Whatever there is in the cluster, a decision is made, and when it has been followed there is
nothing more to decide."""

import contextlib
import copy
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from operator_world import STAGES, World, a_run, component, stamp

from gptfl.store.runs import StepState

JOB_STATUS: list[dict[str, Any]] = [
    {},
    {"active": 1},
    {"failed": 2, "active": 1},
    {"conditions": []},
    {"conditions": [{"type": "Suspended", "status": "True"}]},
    {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
    {"failed": 7, "conditions": [{"type": "Failed", "status": "True"}]},
]
CONTAINERS: list[dict[str, Any]] = [
    {},
    {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
    {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 5},
    {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
    {"state": {"terminated": {"exitCode": 1, "message": '{"error": "no"}'}}},
    {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}},
    {"state": None, "lastState": None},
]
CONDITIONS: list[dict[str, Any]] = [
    {"type": "Ready", "status": "True"},
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"},
    {"type": "DisruptionTarget", "status": "True"},
]
SPECS: list[dict[str, Any]] = [
    {},
    {"suspend": True},
    {"queueName": "team"},
    {"queueName": "team", "suspend": True},
    {"generation": {"workers": 2}},
    {"seed": 7},
    {"ttlSecondsAfterFinished": 5},
    {"serving": {"revisionHistoryLimit": 0}},
    {"federation": {"clients": [
        {"name": "a", "data": {"uri": "x"}, "location": "Outside"},
        {"name": "b", "data": {"uri": "y"}},
    ]}},
]  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"seed": -1},
    {"task": {"labels": ["cat", "cat"]}},
    {"suspend": "yes"},
    {"unknown": 1},
    {"federation": None},
    {"pretraining": {"template": {"resources": {"limits": {"memory": "much"}}}}},
]
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def a_world(spec: int, last: str) -> World:
    world = World(a_run(**SPECS[spec]))
    # A suspended run has no further Jobs, which is as good a place as any.
    with contextlib.suppress(IndexError):
        world.up_to(last)
    return world


@some.composite
def worlds(draw: some.DrawFn) -> World:
    """A run somewhere on its way, with everything around it shaken."""
    place = draw(some.integers(0, len(SPECS) - 1)), draw(some.sampled_from([*STAGES, "end"]))
    world = copy.deepcopy(a_world(*place))
    for (kind, name), thing in list(world.things.items()):
        if draw(some.integers(0, 9)) == 0:
            del world.things[kind, name]
        elif kind == "Job":
            shake_job(draw, world, thing)
    if draw(some.booleans()):
        world.says(
            "serving", state=draw(some.sampled_from(StepState)), key="ab" * 32, digest="cd" * 32
        )
    for revision in world.names("InferenceService"):
        if draw(some.booleans()):
            world.ready(revision)
        world.probes |= draw(some.sampled_from([{}, {revision: ""}, {revision: "status 500"}]))
    world.run["spec"] |= draw(some.sampled_from(SPECS))
    world.store_problem = draw(some.sampled_from([None, None, None, "gone"]))
    world.kinds = draw(some.sampled_from([frozenset({"InferenceService"}), frozenset()]))
    world.refused = draw(some.sampled_from([(), (), ("quota",)]))
    if draw(some.booleans()):
        world.run.pop("status", None)
    return world


def shake_job(draw: some.DrawFn, world: World, job: dict[str, Any]) -> None:
    job["status"] = copy.deepcopy(draw(some.sampled_from([job.get("status", {}), *JOB_STATUS])))
    if draw(some.integers(0, 3)) == 0:
        job["spec"]["suspend"] = draw(some.booleans())
    if draw(some.integers(0, 5)) == 0:
        job["metadata"]["labels"]["app.kubernetes.io/component"] = "older"
    for _ in range(draw(some.integers(0, 2))):
        containers = [{"name": "main", "image": "a", **draw(some.sampled_from(CONTAINERS))}]
        conditions = draw(some.lists(some.sampled_from(CONDITIONS), max_size=2))
        world.pod_of(job, containerStatuses=containers, conditions=conditions)


@SETTINGS
@given(worlds())
def test_a_decision_that_was_followed_leaves_nothing_to_decide(world: World) -> None:
    world.settle()
    before = copy.deepcopy((world.things, world.run))
    desired = world.visit()

    assert (world.things, world.run) == before
    assert desired.events == ()


@SETTINGS
@given(worlds())
def test_the_same_question_has_the_same_answer_and_changes_nothing(world: World) -> None:
    before = copy.deepcopy((world.things, world.run, world.named))
    first, second = world.decide(), world.decide()

    assert first == second
    assert (world.things, world.run, world.named) == before


@SETTINGS
@given(worlds(), some.sampled_from(REFUSED))
def test_nothing_is_ever_made_for_a_refused_run(world: World, wrong: dict[str, Any]) -> None:
    world.run["spec"] |= wrong
    desired = world.decide()

    assert (desired.apply, desired.delete, desired.certificates, desired.probes) == ((),) * 4
    assert not desired.delete_run
    assert desired.status is not None
    assert desired.status["conditions"][0]["reason"] == "InvalidSpec"


@SETTINGS
@given(worlds(), some.dictionaries(some.text(max_size=8), some.integers()))
def test_the_status_of_a_run_is_no_input(world: World, junk: dict[str, int]) -> None:
    with_status = world.decide()
    world.run["status"] = junk | {"phase": "Succeeded", "conditions": [{"type": "Complete"}, 3]}
    with_junk = world.decide()

    assert with_status.apply == with_junk.apply
    assert with_status.delete == with_junk.delete
    assert with_status.certificates == with_junk.certificates


@SETTINGS
@given(worlds())
def test_all_conditions_are_always_there_with_words(world: World) -> None:
    desired = world.decide()

    if desired.status is None:
        assert desired.delete_run
        return
    listed = desired.status["conditions"]
    assert [one["type"] for one in listed] == [
        "Accepted", "Generated", "Pretrained", "Federated", "Evaluated", "Published", "Complete",
        "Failed", "Suspended",
    ]  # fmt: skip
    assert all(one["reason"] and one["message"] and "\n" not in one["message"] for one in listed)


@SETTINGS
@given(worlds())
def test_no_two_stages_are_at_work_at_once(world: World) -> None:
    made = {component(one) for one in world.decide().apply if one["kind"] == "Job"}

    helpers = {"worker": "generation", "client": "aggregator"}
    assert len({helpers.get(one, one) for one in made}) <= 1


def test_a_time_without_a_zone_in_an_old_status_is_no_trouble() -> None:
    world = World()
    world.visit()
    for one in world.run["status"]["conditions"]:
        one["lastTransitionTime"] = stamp(world.now).rstrip("Z")
    assert world.decide().status is not None
