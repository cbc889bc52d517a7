"""What goes wrong in a pod, in words: each check looks for one thing and says what to change.

The words hold no name that Kubernetes made up and no time, so that they stay as they are while the
trouble does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gptfl_operator.lastwords import last_words, shortened
from gptfl_operator.model import Object
from gptfl_operator.objects import name_of, spec_of, status_of
from gptfl_operator.reasons import Reason


@dataclass(frozen=True)
class Trouble:
    """Something that keeps a pod from its work."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Patient:
    """A pod with what is known of it."""

    pod: Object
    warnings: Sequence[Object]
    """Kubernetes events about it."""
    field: str
    """Where the run's file describes it: ``spec.pretraining.template``."""


def pod_trouble(pod: Object, warnings: Iterable[Object], field: str) -> Trouble | None:
    """What is wrong with a pod; None when nothing is. The first check that finds something wins."""
    patient = Patient(pod, tuple(about(warnings, pod)), field)
    return next((found for check in CHECKS if (found := check(patient)) is not None), None)


def about(warnings: Iterable[Object], thing: Object) -> Iterator[Object]:
    """The events about an object."""
    for warning in warnings:
        involved = warning.get("involvedObject") or {}
        if (involved.get("kind"), involved.get("name")) == (thing.get("kind"), name_of(thing)):
            yield warning


def lost_its_node(patient: Patient) -> Trouble | None:
    """Not the stage's fault, and tried again."""
    status = status_of(patient.pod)
    disrupted = _condition(patient.pod, "DisruptionTarget", "True")
    if (
        status.get("reason") == "Evicted"
        or (disrupted or {}).get("reason") == "TerminationByKubelet"
    ):
        said = shortened(status.get("message") or "the node was short of memory or disk")
        return Trouble(
            Reason.EVICTED,
            f"the pod had to leave its node ({said}); it is tried again, and "
            f"{patient.field}.resources.requests keeps room for it",
        )
    if disrupted is not None or status.get("reason") == "NodeLost":
        return Trouble(
            Reason.NODE_LOST,
            "the pod's node is gone, drained or wanted for another pod; it is tried again",
        )
    return None


def ran_out_of_time(patient: Patient) -> Trouble | None:
    """Kubernetes ends what takes longer than it may."""
    if status_of(patient.pod).get("reason") != "DeadlineExceeded":
        return None
    return Trouble(Reason.DEADLINE_EXCEEDED, TOO_LONG)


TOO_LONG = "it took longer than it may; raise spec.activeDeadlineSeconds"


def has_no_node(patient: Patient) -> Trouble | None:
    """The scheduler says of each node why not; the first thing that can be changed is named."""
    unscheduled = _condition(patient.pod, "PodScheduled", "False")
    if unscheduled is None or unscheduled.get("reason") != "Unschedulable":
        return None
    said = unscheduled.get("message") or ""
    for pattern, words in _UNSCHEDULABLE:
        found = re.search(pattern, said)
        if found is not None:
            named = {"field": patient.field, **found.groupdict()}
            named["amount"] = _asked(patient.pod, named.get("resource", ""))
            return Trouble(Reason.UNSCHEDULABLE, words.format(**named))
    text = shortened(said.partition(" preemption:")[0])
    return Trouble(Reason.UNSCHEDULABLE, f"no node takes the pod: {text}; change {patient.field}")


_UNSCHEDULABLE = (
    (
        r"persistentvolumeclaim \"(?P<claim>[^\"]+)\"",
        "the volume claim {claim} is missing or not bound; make it, or change {field}.volumes",
    ),
    (
        r"unbound immediate PersistentVolumeClaims",
        "a volume claim has no volume yet; make one, or change {field}.volumes",
    ),
    (
        r"Insufficient (?P<resource>\S*gpu\S*?)[.,;]?(\s|$)",
        "no node has {amount} {resource} free; add a node with one, wait for it, or lower "
        "{field}.resources.limits",
    ),
    (
        r"Insufficient (?P<resource>[^\s.,;]+)",
        "no node has {amount} {resource} free; add a node, or lower {field}.resources.requests",
    ),
    (
        r"didn't match Pod's node (affinity|selector)",
        "no node has the labels of {field}.nodeSelector; change it or label a node",
    ),
    (
        r"untolerated taint",
        "the nodes have taints that the pod does not tolerate; add to {field}.tolerations",
    ),
)


def cannot_get_its_image(patient: Patient) -> Trouble | None:
    """Whatever the registry says, the image is what to look at."""
    for container in _containers(patient.pod):
        waiting = _state(container, "waiting")
        if waiting.get("reason") in _IMAGE:
            why = _image_words(waiting.get("message") or "")
            return Trouble(
                Reason.IMAGE_PULL,
                f"the image {container.get('image', '')} cannot be pulled{why}; change "
                f"{patient.field}.image, or name a {patient.field}.serviceAccountName with the "
                "registry's key",
            )
    return None


_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def _image_words(message: str) -> str:
    for pattern, words in (
        (r"not found|manifest unknown|NotFound", "there is no such image"),
        (r"unauthorized|denied|401|403", "the registry wants a key"),
        (r"no such host|dial tcp|timeout", "the registry does not answer"),
    ):
        if re.search(pattern, message):
            return f" ({words})"
    return ""


def init_container_fails(patient: Patient) -> Trouble | None:
    """Of a predictor it is KServe's storage initializer that fetches the model."""
    for container in status_of(patient.pod).get("initContainerStatuses") or ():
        ended = _ended(container)
        if ended is not None and ended.get("exitCode") != 0:
            said = last_words(ended.get("message")) or f"exit code {ended.get('exitCode')}"
            return Trouble(
                Reason.INIT_FAILED,
                f"the init container {container.get('name')} fails: {said}; look at the store's "
                f"Secret and at {patient.field}",
            )
    return None


def was_killed_for_memory(patient: Patient) -> Trouble | None:
    """The kernel's doing, so the process could say nothing."""
    for container in _containers(patient.pod):
        ended = _ended(container)
        if ended is not None and ended.get("reason") == "OOMKilled":
            limit = _limit(patient.pod, container.get("name"), "memory")
            used = f"its {limit} of memory" if limit else "all the memory of its node"
            return Trouble(
                Reason.OUT_OF_MEMORY,
                f"the container {container.get('name')} was killed for using more than {used}; "
                f"raise {patient.field}.resources.limits.memory, or lower the stage's batchSize",
            )
    return None


def ended_with_an_error(patient: Patient) -> Trouble | None:
    """The stage's own line, and without one its exit code."""
    for container in status_of(patient.pod).get("containerStatuses") or ():
        ended = _ended(container)
        if ended is None or ended.get("exitCode") == 0:
            continue
        said = last_words(ended.get("message"))
        if said is not None:
            return Trouble(Reason.STAGE_ERROR, said)
        code = ended.get("exitCode")
        return Trouble(
            Reason.CRASHED,
            f"the container {container.get('name')} ended with exit code {code} and said nothing; "
            "look at its log",
        )
    return None


def cannot_be_made(patient: Patient) -> Trouble | None:
    """A key of a Secret that is not there, a command that is not in the image."""
    for container in _containers(patient.pod):
        waiting = _state(container, "waiting")
        if waiting.get("reason") in _UNMADE:
            said = shortened(waiting.get("message") or waiting["reason"])
            return Trouble(
                Reason.BAD_CONTAINER,
                f"the container {container.get('name')} cannot be made: {said}; change "
                f"{patient.field}",
            )
    return None


_UNMADE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def cannot_be_mounted(patient: Patient) -> Trouble | None:
    """Told only by an event; an old one about a pod that runs by now means nothing."""
    if status_of(patient.pod).get("phase") != "Pending":
        return None
    for warning in reversed(patient.warnings):
        if warning.get("reason") in ("FailedMount", "FailedAttachVolume"):
            said = shortened((warning.get("message") or "").rpartition(" : ")[2])
            return Trouble(
                Reason.MOUNT_FAILED,
                f"a volume cannot be mounted: {said}; make what is missing, or change "
                f"{patient.field}.volumes",
            )
    return None


Check = Callable[[Patient], Trouble | None]
CHECKS: tuple[Check, ...] = (
    lost_its_node,
    ran_out_of_time,
    has_no_node,
    cannot_get_its_image,
    cannot_be_made,
    init_container_fails,
    was_killed_for_memory,
    ended_with_an_error,
    cannot_be_mounted,
)


def creation_trouble(job: Object, warnings: Iterable[Object], field: str) -> Trouble | None:
    """Why a Job has no pod: the cluster does not let it make one."""
    for warning in reversed(list(about(warnings, job))):
        if warning.get("reason") != "FailedCreate":
            continue
        said = warning.get("message") or ""
        why = shortened(said.partition("is forbidden: ")[2] or said.partition(": ")[2] or said)
        if "exceeded quota" in said:
            return Trouble(
                Reason.QUOTA_EXCEEDED,
                f"{why}; wait, raise the namespace's quota, or lower {field}.resources",
            )
        return Trouble(
            Reason.POD_REFUSED, f"the cluster does not admit the pod: {why}; change {field}"
        )
    return None


def _containers(pod: Object) -> Iterator[dict[str, Any]]:
    status = status_of(pod)
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _state(container: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = (container.get("state") or {}).get(kind) or {}
    return found


def _ended(container: dict[str, Any]) -> dict[str, Any] | None:
    """How a container ended that does not run now, or waits to be started again."""
    state = container.get("state") or {}
    if "running" in state:
        return None
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    return ended or None


def _condition(pod: Object, kind: str, status: str) -> dict[str, Any] | None:
    for one in status_of(pod).get("conditions") or ():
        if (one.get("type"), one.get("status")) == (kind, status):
            found: dict[str, Any] = one
            return found
    return None


def _limit(pod: Object, container: str | None, resource: str) -> str | None:
    for one in spec_of(pod).get("containers") or ():
        if one.get("name") == container:
            limits = (one.get("resources") or {}).get("limits") or {}
            return str(limits[resource]) if resource in limits else None
    return None


def _asked(pod: Object, resource: str) -> str:
    """How much of a resource a pod's containers ask for, as it is written there."""
    for one in spec_of(pod).get("containers") or ():
        given = one.get("resources") or {}
        for where in ("requests", "limits"):
            if resource in (given.get(where) or {}):
                return str(given[where][resource])
    return "enough"
