"""Which revision answers: dark, ready, probed, published; newer ones, pinned ones, lost ones."""

from datetime import timedelta
from typing import Any

import pytest
from operator_world import SETTINGS, World, a_run, stamp

OURS, NEW = "pets-beefbeef", "pets-cafecafe"
SELECTOR = "serving.kserve.io/inferenceservice"


def exported(world: World | None = None) -> World:
    world = (world or World()).up_to("export")
    world.complete("export")
    world.settle()
    return world


def answers(world: World) -> str | None:
    service = world.things.get(("Service", "pets"))
    return service["spec"]["selector"][SELECTOR] if service else None


def test_a_revision_is_loaded_in_the_dark() -> None:
    world = exported()

    made = world.things["InferenceService", OURS]
    assert made["spec"]["predictor"]["model"]["storageUri"] == (
        f"s3://models/gptfl/artifacts/serving/{'c0ffee' * 10}/"
    )
    assert answers(world) is None
    assert "endpoint" not in world.run["status"]
    assert world.said("Published") == ("False", "Loading")
    assert world.said("Complete") == ("False", "InProgress")


def test_kserves_word_alone_is_not_enough() -> None:
    world = exported()
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    world.things["InferenceService", OURS]["status"] = ready
    desired = world.visit()

    assert desired.probes == ()
    assert world.said("Published") == ("False", "Loading")


def test_a_ready_revision_answers_a_probe_before_users_see_it() -> None:
    world = exported()
    world.ready(OURS)
    desired = world.visit()

    (probe,) = desired.probes
    assert probe.revision == OURS
    assert probe.url == "http://pets-beefbeef-predictor.lab.svc/v1/models/pets:predict"
    assert answers(world) is None
    assert world.said("Published") == ("False", "Probing")
    world.visit()
    assert answers(world) == OURS
    assert world.said("Published") == ("True", "Published")


def test_a_revision_that_answers_wrongly_is_not_let_at_users() -> None:
    world = exported()
    world.ready(OURS)
    world.probes[OURS] = "status 500: no weights"
    world.settle()

    assert answers(world) is None
    assert world.said("Published") == ("False", "ProbeFailed")
    assert world.condition("Published")["message"].endswith("status 500: no weights")


def crashing(world: World, restarts: int) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "message": '{"error": "config.json: no such labels"}'}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    container = {"name": "kserve-container", "state": waiting, "lastState": last}
    revision = world.things["InferenceService", OURS]
    return world.pod_of(revision, containerStatuses=[container | {"restartCount": restarts}])


@pytest.mark.parametrize(("restarts", "failed"), [(1, "False"), (3, "True")])
def test_a_revision_that_crashes_says_so_in_the_containers_words(
    restarts: int, failed: str
) -> None:
    world = exported()
    crashing(world, restarts)
    world.settle()

    assert world.said("Published") == ("False", "StageError")
    assert world.condition("Published")["message"] == (
        "the model cannot be loaded: config.json: no such labels"
    )
    assert world.said("Failed")[0] == failed
    assert answers(world) is None


def test_a_revision_that_comes_up_after_all_is_published() -> None:
    world = exported()
    pod = crashing(world, 3)
    world.settle()
    del world.things["Pod", pod["metadata"]["name"]]
    world.ready(OURS)
    world.settle()

    assert world.said("Failed") == ("False", "NoFailure")
    assert answers(world) == OURS


def published(world: World | None = None, name: str = OURS) -> World:
    world = exported(world)
    world.ready(name)
    world.settle()
    return world


def another_runs_service(world: World, published_at: float) -> None:
    """The Service as another run has left it."""
    at = stamp(world.now + timedelta(seconds=published_at))
    world.named[world.at("Service", "pets")] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "pets",
            "labels": {"gptfl.io/model": "pets", "gptfl.io/run-uid": "other"},
            "annotations": {"gptfl.io/published": at},
            "ownerReferences": [{"kind": "GPTFLRun", "name": "older", "uid": "other"}],
        },
        "spec": {"selector": {SELECTOR: "pets-01d01d01"}},
    }


def test_a_newer_model_takes_the_name_over() -> None:
    world = World()
    another_runs_service(world, -3600)
    published(world)

    assert answers(world) == OURS
    assert world.run["status"]["endpoint"] == "http://pets.lab.svc/v1/models/pets:predict"


def test_an_older_model_leaves_the_name_to_the_newer_one_and_is_complete() -> None:
    world = World()
    another_runs_service(world, 3600)
    published(world)

    assert answers(world) is None
    assert world.said("Published") == ("False", "Superseded")
    assert world.said("Complete") == ("True", "Succeeded")
    assert "endpoint" not in world.run["status"]


def test_a_name_whose_run_was_deleted_is_taken_by_who_is_left() -> None:
    world = World()
    another_runs_service(world, 3600)
    published(world)
    assert world.settle().requeue_after == SETTINGS.retry_seconds

    # Deleted with its run, of which this one is told by nobody.
    del world.named[world.at("Service", "pets")]
    world.settle()
    assert answers(world) == OURS


def test_a_service_that_was_taken_over_a_moment_ago_is_not_taken_back() -> None:
    world = published()
    service = world.things.pop(("Service", "pets"))
    # What is read by name is up to half a minute old, and says that it is still ours.
    world.named[world.at("Service", "pets")] = service
    world.settle()

    assert answers(world) is None
    assert world.said("Published") == ("False", "Superseded")


def two_revisions() -> World:
    """A run that has published twice."""
    world = published()
    world.later(60)
    world.change(federation=dict(world.run["spec"]["federation"]) | {"rounds": 5})
    world.up_to("export")
    world.complete("export")
    world.says("serving", digest="cafe" * 16)
    world.settle()
    world.ready(NEW)
    world.settle()
    assert answers(world) == NEW
    return world


def pin(world: World, revision: str | None) -> None:
    """As `gptfl rollback` does, or kubectl."""
    annotations = world.things["Service", "pets"]["metadata"]["annotations"]
    annotations.pop("gptfl.io/pinned", None)
    if revision:
        annotations["gptfl.io/pinned"] = revision


def test_a_pinned_revision_answers_until_the_pin_is_taken_off() -> None:
    world = two_revisions()
    pin(world, OURS)
    world.settle()
    assert answers(world) == OURS
    assert world.said("Published") == ("False", "Pinned")
    assert world.said("Complete") == ("True", "Succeeded")

    pin(world, None)
    world.settle()
    assert answers(world) == NEW
    assert world.said("Published") == ("True", "Published")


def test_a_new_model_does_not_push_a_pinned_one_aside() -> None:
    world = published()
    pin(world, OURS)
    world.later(60)
    world.change(federation=dict(world.run["spec"]["federation"]) | {"rounds": 5})
    world.up_to("export")
    world.complete("export")
    world.says("serving", digest="cafe" * 16)
    world.settle()
    world.ready(NEW)
    world.settle()

    assert answers(world) == OURS


@pytest.mark.parametrize(("limit", "kept"), [(0, [NEW]), (1, [OURS, NEW])])
def test_so_many_revisions_are_kept_to_go_back_to(limit: int, kept: list[str]) -> None:
    world = two_revisions()
    world.change(serving={"revisionHistoryLimit": limit})
    world.settle()

    assert sorted(world.names("InferenceService")) == kept


def test_a_pinned_revision_is_kept_beyond_the_limit() -> None:
    world = two_revisions()
    pin(world, OURS)
    world.change(serving={"revisionHistoryLimit": 0})
    world.settle()

    assert sorted(world.names("InferenceService")) == [OURS, NEW]


def test_other_predictors_are_another_revision_and_never_a_change_in_place() -> None:
    world = published()
    template = {"resources": {"limits": {"memory": "2Gi"}}}
    world.change(serving={"predictorTemplate": template})
    world.settle()

    assert len(world.names("InferenceService")) == 2
    assert answers(world) == OURS


def test_without_kserve_a_run_ends_with_its_model_in_the_store() -> None:
    world = World()
    world.kinds = frozenset()
    exported(world)

    assert world.names("InferenceService") == []
    assert world.said("Published") == ("False", "NoKServe")
    assert world.said("Complete") == ("True", "Succeeded")


def test_a_service_of_somebody_elses_is_not_touched() -> None:
    world = World()
    world.named[world.at("Service", "pets")] = {"metadata": {"name": "pets"}}
    world.visit()

    assert world.names("Job") == []
    assert world.said("Accepted") == ("False", "NameTaken")
    assert world.condition("Accepted")["message"] == (
        "spec.serving.name: a Service 'pets' that is not gptfl's is in the namespace 'lab'; "
        "use another name"
    )


def test_the_model_is_called_as_the_run_says() -> None:
    world = World(a_run(serving={"name": "animals", "replicas": 3}), SETTINGS)
    exported(world)

    made = world.things["InferenceService", "animals-beefbeef"]["spec"]["predictor"]
    assert made["model"]["args"] == ["--name=animals"]
    assert made["minReplicas"] == 3
