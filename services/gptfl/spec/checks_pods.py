"""What the types cannot say of the pods of a run on a cluster."""

from collections.abc import Iterator

from gptfl.errors import Problem
from gptfl.spec.federation import ClientLocation
from gptfl.spec.pods import PodTemplate
from gptfl.spec.run import RunSpec

OWN_LABELS = ("gptfl.io/", "app.kubernetes.io/", "kueue.x-k8s.io/")
OWN_VOLUMES = ("run", "tmp", "cache", "identity", "admission", "store", "broker", "data")
OWN_PATHS = ("/etc/gptfl", "/tmp", "/cache", "/data")


def pod_templates(spec: RunSpec) -> Iterator[tuple[str, PodTemplate]]:
    """Every template that a run gives, with its path."""
    places = {
        "spec.prompts.template": spec.prompts.template,
        "spec.generation.template": spec.generation.template,
        "spec.generation.workerTemplate": spec.generation.worker_template,
        "spec.pretraining.template": spec.pretraining.template,
        "spec.federation.template": spec.federation.template,
        "spec.federation.clientTemplate": spec.federation.client_template,
        "spec.evaluation.template": spec.evaluation.template,
        "spec.serving.template": spec.serving.template,
        "spec.serving.predictorTemplate": spec.serving.predictor_template,
    }
    yield from ((path, template) for path, template in places.items() if template is not None)


def mounts_have_volumes(spec: RunSpec) -> Iterator[Problem]:
    """A mount names a volume of its template, and neither takes what is the operator's."""
    for path, template in pod_templates(spec):
        names = [volume.name for volume in template.volumes]
        for index, volume in enumerate(template.volumes):
            where = f"{path}.volumes[{index}].name"
            if volume.name in OWN_VOLUMES:
                yield Problem(where, f"{volume.name!r} is the operator's own; use another name")
            elif volume.name in names[:index]:
                yield Problem(where, f"{volume.name!r} is used twice; give each volume its own")
        for index, mount in enumerate(template.volume_mounts):
            where = f"{path}.volumeMounts[{index}]"
            if mount.name not in names:
                known = ", ".join(names) or "none yet"
                yield Problem(
                    f"{where}.name",
                    f"{mount.name!r} is not among {path}.volumes ({known}); add it there",
                )
            if _covers(mount.mount_path):
                yield Problem(
                    f"{where}.mountPath",
                    f"{mount.mount_path!r} is the operator's own; use another path",
                )


def labels_leave_the_operators_alone(spec: RunSpec) -> Iterator[Problem]:
    """By its labels the operator knows its pods again."""
    for path, template in pod_templates(spec):
        for name in template.labels:
            if name.startswith(OWN_LABELS):
                yield Problem(
                    f"{path}.labels", f"{name!r} is the operator's own; use a prefix of yours"
                )


def outside_clients_bring_their_data(spec: RunSpec) -> Iterator[Problem]:
    """Who runs elsewhere has no pod to which a volume or a Secret could be given."""
    for index, client in enumerate(spec.federation.clients or ()):
        if client.location is not ClientLocation.OUTSIDE:
            continue
        given = {"volumeClaimName": client.volume_claim_name, "secretName": client.secret_name}
        for field, value in given.items():
            if value is not None:
                yield Problem(
                    f"spec.federation.clients[{index}].{field}",
                    "does nothing for a client with location: Outside; drop it or set "
                    "location: Cluster",
                )


def _covers(path: str) -> bool:
    """Whether a mount there would hide one of the operator's, or stand inside it."""
    here = path.rstrip("/") + "/"
    return any(here.startswith(f"{own}/") or f"{own}/".startswith(here) for own in OWN_PATHS)
