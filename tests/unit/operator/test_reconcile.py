"""A run from its first visit to its end, and everything that comes in between."""

from dataclasses import replace
from datetime import timedelta

import pytest
from operator_world import NOON, SETTINGS, UID, World, a_run, component, stamp

from gptfl.store.runs import StepState
from gptfl_operator.model import EventType

TYPES = [
    "Accepted", "Generated", "Pretrained", "Federated", "Evaluated", "Published", "Complete",
    "Failed", "Suspended",
]  # fmt: skip
REVISION = "pets-beefbeef"


def published(world: World) -> World:
    """A run at its end."""
    world.up_to("export").complete("export")
    world.settle()
    world.ready(REVISION)
    world.settle()
    return world


def test_the_first_visit_makes_the_first_job_and_tells_of_every_condition() -> None:
    world = World()
    world.visit()

    assert [(kind, what) for _, kind, what in world.writes[:1]] == [
        ("ConfigMap", world.names("ConfigMap")[0])
    ]
    assert world.components() == ["prompts"]
    assert [one["type"] for one in world.run["status"]["conditions"]] == TYPES
    assert world.said("Accepted") == ("True", "Accepted")
    assert world.said("Evaluated") == ("Unknown", "Pending")
    assert world.run["status"]["phase"] == "Running"
    assert world.run["status"]["stage"] == "prompts"


def test_the_first_visit_costs_three_writes() -> None:
    world = World()
    world.settle()

    assert [kind for _, kind, _ in world.writes] == ["ConfigMap", "Job", "GPTFLRun"]


def test_stages_follow_each_other_to_an_endpoint() -> None:
    world = World()
    seen = []
    for last in ("prompts", "generation", "pretraining", "aggregator", "evaluation", "export"):
        world.up_to(last)
        seen.append(sorted(set(world.components())))
        world.complete(last)
    world.settle()
    world.ready(REVISION)
    world.settle()

    assert seen == [
        ["prompts"],
        ["generation", "prompts", "worker"],
        ["generation", "pretraining", "prompts"],
        ["aggregator", "client", "generation", "pretraining", "prompts"],
        ["aggregator", "evaluation", "generation", "pretraining", "prompts"],
        ["aggregator", "evaluation", "export", "generation", "pretraining", "prompts"],
    ]
    assert world.said("Published") == ("True", "Published")
    assert world.said("Complete") == ("True", "Succeeded")
    assert world.run["status"]["phase"] == "Succeeded"
    assert world.run["status"]["endpoint"] == "http://pets.lab.svc/v1/models/pets:predict"


def test_a_run_at_its_end_asks_for_nothing_and_is_not_looked_at_again() -> None:
    world = published(World())
    before = len(world.writes)
    world.later(86_400)
    desired = world.visit()

    assert len(world.writes) == before
    assert desired.requeue_after is None


def test_a_restarted_operator_writes_nothing() -> None:
    world = published(World())
    world.probes.clear()
    before = len(world.writes)
    world.visit()

    assert len(world.writes) == before


def test_a_run_that_is_deleted_is_left_to_the_garbage_collector() -> None:
    world = World()
    world.run["metadata"]["deletionTimestamp"] = stamp(NOON)

    assert world.decide().status is None
    assert world.decide().apply == ()


def test_a_wrong_file_is_refused_with_the_line_of_gptfl_run_and_makes_nothing() -> None:
    world = World(a_run(seed=-1))
    desired = world.visit()

    assert world.names("Job") == []
    assert desired.certificates == ()
    assert world.condition("Accepted") | {"lastTransitionTime": ""} == {
        "type": "Accepted",
        "status": "False",
        "reason": "InvalidSpec",
        "message": "spec.seed: -1 is out of range; use a whole number from 0 to 9007199254740991",
        "observedGeneration": 1,
        "lastTransitionTime": "",
    }
    assert [one["type"] for one in world.run["status"]["conditions"]] == TYPES
    assert world.run["status"]["phase"] == "Failed"


def test_a_slip_of_the_pen_costs_a_run_at_work_nothing() -> None:
    world = World().up_to("pretraining")
    there = dict(world.things)
    world.change(seed=-1)
    world.settle()

    assert world.things == there
    world.change(seed=0)
    world.settle()
    assert world.things == there
    assert world.said("Accepted") == ("True", "Accepted")


def test_a_changed_section_makes_new_objects_from_there_on_and_drops_the_old() -> None:
    world = published(World())
    before = {name: world.job(name)["metadata"]["name"] for name in ("prompts", "evaluation")}
    federation = dict(world.run["spec"]["federation"]) | {"rounds": 5}
    world.change(federation=federation)
    world.settle()

    assert world.job("prompts")["metadata"]["name"] == before["prompts"]
    assert sorted(set(world.components())) == [
        "aggregator", "client", "generation", "pretraining", "prompts",
    ]  # fmt: skip
    assert before["evaluation"] not in world.names("Job")
    assert world.said("Complete") == ("False", "InProgress")
    assert world.run["status"]["observedGeneration"] == 2


def test_what_was_published_answers_until_the_next_model_does() -> None:
    world = published(World())
    world.change(federation=dict(world.run["spec"]["federation"]) | {"rounds": 5})
    world.up_to("export")
    world.complete("export")
    world.says("serving", digest="cafe" * 16)
    world.settle()
    service = world.things["Service", "pets"]
    assert service["spec"]["selector"] == {"serving.kserve.io/inferenceservice": REVISION}
    assert world.run["status"]["endpoint"] is not None

    world.ready("pets-cafecafe")
    world.settle()
    service = world.things["Service", "pets"]
    assert service["spec"]["selector"] == {"serving.kserve.io/inferenceservice": "pets-cafecafe"}
    assert sorted(world.names("InferenceService")) == [REVISION, "pets-cafecafe"]


def test_another_label_for_the_same_stage_leaves_a_running_job_its_file() -> None:
    world = World().up_to("generation")
    name = world.job("generation")["metadata"]["name"]
    world.change(federation=dict(world.run["spec"]["federation"]) | {"rounds": 5})
    world.settle()

    assert world.job("generation")["metadata"]["name"] == name
    volumes = world.job("generation")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["configMap"]["name"] in world.names("ConfigMap")


def test_suspending_rests_what_is_at_work_and_begins_nothing() -> None:
    world = World().up_to("generation")
    world.change(suspend=True)
    world.settle()

    assert world.job("generation")["spec"]["suspend"] is True
    assert world.job("worker")["spec"]["suspend"] is True
    assert world.said("Suspended") == ("True", "Suspended")
    assert world.said("Generated") == ("False", "Suspended")
    assert world.run["status"]["phase"] == "Suspended"
    assert world.decide().requeue_after is None

    world.complete("generation")
    world.settle()
    assert "pretraining" not in world.components()

    world.change(suspend=False)
    world.settle()
    assert "pretraining" in world.components()
    assert world.said("Suspended") == ("False", "NotSuspended")


def test_a_suspended_run_goes_on_serving() -> None:
    world = published(World())
    there = dict(world.things)
    world.change(suspend=True)
    world.settle()

    assert world.things == there
    assert world.run["status"]["phase"] == "Succeeded"


def test_jobs_in_a_queue_are_left_to_kueue() -> None:
    world = World(a_run(queueName="team"))
    world.settle()
    job = world.job("prompts")
    assert "suspend" not in job["spec"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"

    job["spec"]["suspend"] = True
    world.settle()
    assert world.said("Generated") == ("False", "Queued")
    assert world.condition("Generated")["message"] == (
        "prompts waits in the queue team for its turn"
    )
    assert world.run["status"]["phase"] == "Pending"
    assert job["spec"]["suspend"] is True


def test_a_suspended_run_gives_its_place_in_the_queue_up() -> None:
    world = World(a_run(queueName="team")).up_to("generation")
    world.change(suspend=True)
    world.settle()

    assert world.components() == ["prompts"]
    world.change(suspend=False)
    world.settle()
    assert sorted(world.components()) == ["generation", "prompts", "worker"]


def test_a_failed_job_ends_the_run_and_is_kept_for_its_log() -> None:
    world = World().up_to("generation")
    world.fail("worker")
    pod = {"name": "main", "state": {"terminated": {"exitCode": 1, "message": "no weights"}}}
    world.pod_of(world.job("worker"), phase="Failed", containerStatuses=[pod])
    desired = world.settle()

    assert world.said("Failed") == ("True", "StageError")
    assert world.condition("Failed")["message"] == "generation: no weights"
    assert world.said("Complete") == ("False", "StageFailed")
    assert world.run["status"]["phase"] == "Failed"
    assert sorted(world.components()) == ["prompts", "worker"]
    assert desired.requeue_after is None


def test_a_mended_template_tries_again() -> None:
    world = World().up_to("pretraining")
    world.fail("pretraining")
    world.settle()
    template = {"resources": {"limits": {"memory": "8Gi"}}}
    world.change(pretraining={"template": template})
    world.settle()

    assert world.said("Failed") == ("False", "NoFailure")
    resources = world.job("pretraining")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"] == {"memory": "8Gi"}
    assert resources["requests"]["memory"] == "8Gi"


def test_a_deadline_is_kubernetes_own() -> None:
    world = World(a_run(activeDeadlineSeconds=60, backoffLimit=2))
    world.settle()
    assert world.job("prompts")["spec"]["activeDeadlineSeconds"] == 60
    assert world.job("prompts")["spec"]["backoffLimit"] == 2

    world.fail("prompts", "DeadlineExceeded")
    world.settle()
    assert world.said("Failed") == ("True", "DeadlineExceeded")
    assert "raise spec.activeDeadlineSeconds" in world.condition("Failed")["message"]


def test_a_client_that_fails_for_good_does_not_end_the_federation() -> None:
    world = World().up_to("aggregator")
    clients = [t for (kind, _), t in world.things.items() if kind == "Job"]
    client = next(job for job in clients if component(job) == "client")
    client["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    world.settle()

    assert world.said("Federated") == ("False", "ClientsFailed")
    assert world.condition("Federated")["message"] == (
        "goes on without client-0, whose pods have failed"
    )
    assert world.said("Failed") == ("False", "NoFailure")


def test_a_federation_waits_for_its_certificates() -> None:
    world = World().up_to("pretraining")
    world.complete("pretraining")
    desired = world.decide()

    assert [one.common_name for one in desired.certificates] == [
        "lab/pets", "pets-aggregator", "client-0", "client-1",
    ]  # fmt: skip
    assert not [one for one in desired.apply if one["kind"] == "Job"]
    world.visit()
    world.visit()
    assert "aggregator" in world.components()
    admission = world.things["ConfigMap", "pets-admission"]["data"]
    assert '"client-0": "sha256-of-client-0"' in admission["tokens.json"]
    assert admission["revoked"] == ""


def test_a_client_outside_gets_its_certificate_at_once_and_no_pod() -> None:
    clients = [
        {"name": "north", "data": {"uri": "data/north"}, "location": "Outside"},
        {"name": "south", "data": {"uri": "file:///data"}, "volumeClaimName": "south"},
    ]
    world = World(a_run(federation={"clients": clients}))
    world.named[world.at("PersistentVolumeClaim", "south")] = {"metadata": {"name": "south"}}
    world.settle()
    assert "north" in [
        t["metadata"]["labels"].get("gptfl.io/client")
        for (kind, _), t in world.things.items()
        if kind == "Secret"
    ]
    assert "pets-aggregator" in world.names("Service")

    world.up_to("aggregator")
    joined = [t for (kind, _), t in world.things.items() if kind == "Job"]
    clients = [job for job in joined if component(job) == "client"]
    assert [job["metadata"]["labels"]["gptfl.io/client"] for job in clients] == ["south"]


def test_a_revoked_client_is_on_the_list_and_has_no_pod() -> None:
    world = World().up_to("aggregator")
    secret = next(name for name in world.names("Secret") if "client-client-1" in name)
    world.things["Secret", secret]["metadata"]["labels"]["gptfl.io/revoked"] = "true"
    world.settle()

    assert world.things["ConfigMap", "pets-admission"]["data"]["revoked"] == "client-1\n"
    assert world.components().count("client") == 1


@pytest.mark.parametrize("seconds", [1, 59])
def test_a_run_lives_on_for_its_time(seconds: int) -> None:
    world = World(a_run(ttlSecondsAfterFinished=60))
    published(world)
    world.later(seconds)

    assert world.settle().requeue_after == 60 - seconds
    assert not world.is_deleted


def test_a_run_is_deleted_when_its_time_is_over() -> None:
    world = published(World(a_run(ttlSecondsAfterFinished=60)))
    world.later(60)
    desired = world.visit()

    assert desired.delete_run
    assert desired.apply == ()


def test_nothing_is_begun_or_dropped_while_the_store_is_away() -> None:
    world = World().up_to("generation")
    world.complete("generation")
    there = dict(world.things)
    world.store_problem = "s3://models/gptfl: connection refused"
    desired = world.settle()

    assert world.things == there
    assert world.said("Accepted") == ("False", "StoreUnreachable")
    assert desired.requeue_after == 30
    world.store_problem = None
    world.settle()
    assert "pretraining" in world.components()


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    world = World()
    world.settle()
    began = world.condition("Generated")["lastTransitionTime"]
    world.later(60)
    world.complete("prompts")
    world.settle()
    assert world.condition("Generated")["lastTransitionTime"] == began

    world.later(60)
    world.complete("generation")
    world.settle()
    assert world.condition("Generated")["lastTransitionTime"] == stamp(
        NOON + timedelta(seconds=120)
    )


def test_progress_is_told_in_coarse_parts() -> None:
    world = World().up_to("generation")
    world.later(100)
    world.says(
        "generation", state=StepState.RUNNING, done=101, total=400, unit="images", started=NOON
    )
    world.settle()
    stage = world.run["status"]["stages"][1]
    assert stage["progress"] == {"done": 100, "total": 400, "unit": "images", "etaSeconds": 296}
    assert world.run["status"]["progress"] == "100/400 images"

    before = len(world.writes)
    world.later(5)
    world.says(
        "generation", state=StepState.RUNNING, done=119, total=400, unit="images", started=NOON
    )
    world.visit()
    assert len(world.writes) == before


def test_what_the_processes_say_of_an_older_spec_is_not_heard() -> None:
    world = World().up_to("generation")
    world.says("generation", state=StepState.RUNNING, done=1, total=2, unit="images", started=NOON)
    world.change(seed=3)
    world.settle()

    assert "progress" not in world.run["status"]["stages"][1]


def test_each_transition_is_one_event() -> None:
    world = World()
    first = world.visit().events
    assert [note.message for note in first] == [
        "Accepted: the spec is right, and what it names is there",
        "Generated: prompts is at work",
    ]
    assert world.visit().events == ()
    world.fail("prompts")
    assert {note.type for note in world.visit().events} == {EventType.WARNING}


def test_later_objects_are_evidence_of_earlier_stages() -> None:
    world = World().up_to("evaluation")
    del world.things["Job", world.job("prompts")["metadata"]["name"]]
    del world.things["Job", world.job("aggregator")["metadata"]["name"]]
    before = len(world.writes)
    world.visit()

    assert [kind for verb, kind, _ in world.writes[before:] if verb == "create"] == []
    assert world.said("Federated") == ("True", "Done")


def test_without_a_broker_one_pod_draws() -> None:
    world = World(settings=replace(SETTINGS, broker=None)).up_to("generation")

    assert sorted(world.components()) == ["generation", "prompts"]
    arguments = world.job("generation")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--broker" not in arguments


def test_all_that_is_made_is_labelled_as_the_runs() -> None:
    world = published(World())

    for (kind, name), thing in world.things.items():
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "gptfl-operator", (kind, name)
        assert labels["gptfl.io/run"] == "pets"
        assert labels["gptfl.io/run-uid"] == UID
        assert len(name) <= 63


def test_workers_that_wait_in_the_queue_are_named() -> None:
    world = World(a_run(queueName="team")).up_to("generation")
    world.job("worker")["spec"]["suspend"] = True
    world.settle()

    assert world.said("Generated") == ("False", "Queued")
    assert world.condition("Generated")["message"] == "worker waits in the queue team for its turn"


def test_a_model_below_the_gate_is_not_tried_for_long() -> None:
    world = World().up_to("export")
    assert world.job("export")["spec"]["backoffLimit"] == 1

    world.fail("export")
    said = '{"error": "spec.evaluation.gate: Accuracy is 0.5000, 0.3000 less than the minimum"}'
    ended = {"terminated": {"exitCode": 1, "message": said}}
    world.pod_of(world.job("export"), containerStatuses=[{"name": "main", "state": ended}])
    world.settle()

    assert world.said("Published") == ("False", "StageError")
    assert world.condition("Failed")["message"] == (
        "serving: spec.evaluation.gate: Accuracy is 0.5000, 0.3000 less than the minimum"
    )
    assert world.names("InferenceService") == []


def test_a_pod_that_was_tried_again_leaves_its_words() -> None:
    world = World().up_to("pretraining")
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    world.pod_of(world.job("pretraining"), containerStatuses=[{"name": "main", "state": ended}])
    world.settle()
    assert world.said("Pretrained") == ("False", "OutOfMemory")

    world.later(20)
    running = {"name": "main", "state": {"running": {}}}
    world.pod_of(world.job("pretraining"), phase="Running", containerStatuses=[running])
    world.settle()
    assert world.said("Pretrained") == ("False", "Running")
    assert world.condition("Pretrained")["message"].startswith(
        "pretraining is at work again; the last time: the container main was killed"
    )


def test_a_client_whose_pod_is_in_trouble_is_named() -> None:
    world = World().up_to("aggregator")
    client = next(
        t for (k, _), t in world.things.items() if k == "Job" and component(t) == "client"
    )
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    world.pod_of(client, containerStatuses=[{"name": "main", "image": "a:1", "state": waiting}])
    world.settle()

    assert world.said("Federated") == ("False", "ImagePull")
    assert world.condition("Federated")["message"].startswith("client client-0: the image a:1 ")
    assert "spec.federation.clientTemplate.image" in world.condition("Federated")["message"]
