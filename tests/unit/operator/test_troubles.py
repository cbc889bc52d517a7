"""What goes wrong in a pod is said in words: what it is, and the field to change."""

from typing import Any

import pytest

from gptfl_operator.lastwords import last_words
from gptfl_operator.reasons import MEANING, Reason
from gptfl_operator.troubles import creation_trouble, pod_trouble

FIELD = "spec.pretraining.template"


def a_pod(**status: Any) -> dict[str, Any]:
    resources = {
        "requests": {"memory": "4Gi", "cpu": "1"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pets-pretraining-0badc0de-x1y2z"},
        "spec": {"containers": [{"name": "main", "resources": resources}]},
        "status": {"phase": "Pending", **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "main", "image": "example/a:1", "state": state, **more}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    gone = {"exitCode": code, "reason": reason, "message": message}
    return {"name": "main", "state": {"terminated": gone}}


def unscheduled(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return a_pod(conditions=[condition | {"message": message}])


def disrupted(reason: str, message: str = "") -> dict[str, Any]:
    one = {"type": "DisruptionTarget", "status": "True", "reason": reason}
    return a_pod(phase="Failed", conditions=[one], message=message)


PREEMPTION = " preemption: 0/2 nodes are available: 2 No preemption victims found."
TROUBLES = [
    (unscheduled(f"0/2 nodes are available: 2 Insufficient nvidia.com/gpu.{PREEMPTION}"),
     Reason.UNSCHEDULABLE,
     "no node has 1 nvidia.com/gpu free; add a node with one, wait for it, or lower "
     f"{FIELD}.resources.limits"),
    (unscheduled(f"0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.{PREEMPTION}"),
     Reason.UNSCHEDULABLE,
     f"no node has 1 cpu free; add a node, or lower {FIELD}.resources.requests"),
    (unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
     Reason.UNSCHEDULABLE,
     f"no node has the labels of {FIELD}.nodeSelector; change it or label a node"),
    (unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: a}."),
     Reason.UNSCHEDULABLE,
     f"the nodes have taints that the pod does not tolerate; add to {FIELD}.tolerations"),
    (unscheduled('0/1 nodes are available: persistentvolumeclaim "w" not found.'),
     Reason.UNSCHEDULABLE,
     f"the volume claim w is missing or not bound; make it, or change {FIELD}.volumes"),
    (unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
     Reason.UNSCHEDULABLE,
     f"a volume claim has no volume yet; make one, or change {FIELD}.volumes"),
    (unscheduled("0/1 nodes are available: 1 Too many pods."),
     Reason.UNSCHEDULABLE,
     "no node takes the pod: 0/1 nodes are available: 1 Too many pods.; change " + FIELD),
    (a_pod(containerStatuses=[waiting("ErrImagePull", "rpc: manifest unknown")]),
     Reason.IMAGE_PULL,
     "the image example/a:1 cannot be pulled (there is no such image); change "
     f"{FIELD}.image, or name a {FIELD}.serviceAccountName with the registry's key"),
    (a_pod(containerStatuses=[waiting("ImagePullBackOff", "unauthorized")]),
     Reason.IMAGE_PULL,
     "the image example/a:1 cannot be pulled (the registry wants a key); change "
     f"{FIELD}.image, or name a {FIELD}.serviceAccountName with the registry's key"),
    (a_pod(containerStatuses=[waiting("CreateContainerConfigError", 'secret "hub" not found')]),
     Reason.BAD_CONTAINER,
     f'the container main cannot be made: secret "hub" not found; change {FIELD}'),
    (a_pod(initContainerStatuses=[ended(1, "403 for s3://b/k") | {"name": "fetch"}]),
     Reason.INIT_FAILED,
     "the init container fetch fails: 403 for s3://b/k; look at the store's Secret and at "
     + FIELD),
    (a_pod(containerStatuses=[ended(137, reason="OOMKilled")]),
     Reason.OUT_OF_MEMORY,
     "the container main was killed for using more than its 4Gi of memory; raise "
     f"{FIELD}.resources.limits.memory, or lower the stage's batchSize"),
    (a_pod(containerStatuses=[waiting("CrashLoopBackOff", "back-off 10s restarting x1y2z",
                                      lastState=ended(137, reason="OOMKilled")["state"])]),
     Reason.OUT_OF_MEMORY,
     "the container main was killed for using more than its 4Gi of memory; raise "
     f"{FIELD}.resources.limits.memory, or lower the stage's batchSize"),
    (a_pod(containerStatuses=[ended(1, '{"error": "spec.evaluation.gate: too low; train on"}')]),
     Reason.STAGE_ERROR, "spec.evaluation.gate: too low; train on"),
    (a_pod(containerStatuses=[ended(139)]),
     Reason.CRASHED,
     "the container main ended with exit code 139 and said nothing; look at its log"),
    (a_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
     Reason.EVICTED,
     "the pod had to leave its node (The node was low on resource: memory.); it is tried again, "
     f"and {FIELD}.resources.requests keeps room for it"),
    (disrupted("DeletionByTaintManager"),
     Reason.NODE_LOST,
     "the pod's node is gone, drained or wanted for another pod; it is tried again"),
    (disrupted("PreemptionByScheduler"),
     Reason.NODE_LOST,
     "the pod's node is gone, drained or wanted for another pod; it is tried again"),
    (a_pod(phase="Failed", reason="DeadlineExceeded"),
     Reason.DEADLINE_EXCEEDED,
     "it took longer than it may; raise spec.activeDeadlineSeconds"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "reason", "message"), TROUBLES)
def test_each_trouble_is_named_with_what_to_change(
    pod: dict[str, Any], reason: Reason, message: str
) -> None:
    trouble = pod_trouble(pod, [], FIELD)

    assert trouble is not None
    assert (trouble.reason, trouble.message) == (reason, message)


@pytest.mark.parametrize("pod", [one for one, *_ in TROUBLES])
def test_no_message_names_what_kubernetes_made_up(pod: dict[str, Any]) -> None:
    trouble = pod_trouble(pod, [], FIELD)

    assert trouble is not None
    assert "x1y2z" not in trouble.message


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(),
        a_pod(phase="Running", containerStatuses=[{"name": "main", "state": {"running": {}}}]),
        a_pod(phase="Succeeded", containerStatuses=[ended(0, "all is well", "Completed")]),
        # It was killed once, and runs again.
        a_pod(containerStatuses=[{"name": "main", "state": {"running": {}},
                                  "lastState": ended(137, reason="OOMKilled")["state"]}]),
        a_pod(containerStatuses=[waiting("ContainerCreating")]),
        a_pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
    ],
)  # fmt: skip
def test_a_pod_that_is_well_has_no_trouble(pod: dict[str, Any]) -> None:
    assert pod_trouble(pod, [], FIELD) is None


def a_warning(kind: str, name: str, reason: str, message: str) -> dict[str, Any]:
    about = {"kind": kind, "name": name}
    return {"involvedObject": about, "reason": reason, "message": message}


def test_a_mount_that_fails_is_told_by_an_event_of_that_pod_alone() -> None:
    pod = a_pod()
    said = 'MountVolume.SetUp failed for volume "identity" : secret "pets-client-north" not found'
    own = a_warning("Pod", pod["metadata"]["name"], "FailedMount", said)

    trouble = pod_trouble(pod, [own], FIELD)
    assert trouble is not None
    assert trouble.reason is Reason.MOUNT_FAILED
    assert 'secret "pets-client-north" not found' in trouble.message
    assert pod_trouble(pod, [a_warning("Pod", "another", "FailedMount", said)], FIELD) is None
    assert pod_trouble(a_pod(phase="Running"), [own], FIELD) is None


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        ('Error creating: pods "pets-x1y2z" is forbidden: exceeded quota: team, requested: '
         "nvidia.com/gpu=1, used: nvidia.com/gpu=4, limited: nvidia.com/gpu=4",
         Reason.QUOTA_EXCEEDED,
         "exceeded quota: team, requested: nvidia.com/gpu=1, used: nvidia.com/gpu=4, limited: "
         f"nvidia.com/gpu=4; wait, raise the namespace's quota, or lower {FIELD}.resources"),
        ('Error creating: pods "pets-x1y2z" is forbidden: violates PodSecurity "restricted:latest"',
         Reason.POD_REFUSED,
         'the cluster does not admit the pod: violates PodSecurity "restricted:latest"; change '
         + FIELD),
        ('Error creating: pods "pets-x1y2z" is forbidden: error looking up service account '
         'lab/puller: serviceaccount "puller" not found',
         Reason.POD_REFUSED,
         "the cluster does not admit the pod: error looking up service account lab/puller: "
         f'serviceaccount "puller" not found; change {FIELD}'),
    ],
)  # fmt: skip
def test_a_job_that_may_make_no_pod_says_why(said: str, reason: Reason, words: str) -> None:
    job = {"kind": "Job", "metadata": {"name": "pets-pretraining-0badc0de"}}
    warning = a_warning("Job", "pets-pretraining-0badc0de", "FailedCreate", said)

    trouble = creation_trouble(job, [warning], FIELD)
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (reason, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, None),
        ("", None),
        (" \n ", None),
        ('{"error": "no round had a reply"}', "no round had a reply"),
        ('{"steps": {}}', '{"steps": {}}'),
        ('{"level": "info", "message": "begun"}\n{"level": "error", "message": "out of disk"}\n',
         "out of disk"),
        ("Traceback (most recent call last):\n  File x\nOSError: no space left",
         "OSError: no space left"),
        ("gptfl: spec.seed: wrong; mend it", "gptfl: spec.seed: wrong; mend it"),
        ("[1, 2]", "[1, 2]"),
        ('{"error": 3}', '{"error": 3}'),
        ("x" * 2000, "x" * 499 + "…"),
    ],
)  # fmt: skip
def test_the_last_words_of_a_process_are_one_line(text: str | None, words: str | None) -> None:
    assert last_words(text) == words


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANING) == set(Reason)
    assert all(reason.value.isalnum() and reason.value[0].isupper() for reason in Reason)
