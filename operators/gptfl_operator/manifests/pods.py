"""The pod of a stage: one container that passes Pod Security *restricted* and says how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gptfl.spec.pods import PodTemplate, raw
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.names import labels

CONTAINER = "main"
RUN_FILE = "/etc/gptfl/run.yaml"
METRICS_PORT = 9400
STORE_FOLDER = "/etc/gptfl/store"


@dataclass(frozen=True)
class Part:
    """A kind of pod of a run."""

    component: str
    """`prompts`, `worker`, `aggregator`, `client` …"""
    stage: str
    arguments: Sequence[str]
    template: PodTemplate
    field: str
    """Where the template is in the run's file."""
    client: str | None = None
    has_store: bool = True
    """Whether it reads and writes artifacts; a client does not."""
    has_broker: bool = False
    ports: Mapping[str, int] | None = None
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    environment_of: str | None = None
    """A Secret whose entries become environment variables."""


def pod_template(scope: Scope, part: Part, run_file: str) -> dict[str, Any]:
    """The template of a Job's pods."""
    template = part.template
    more = {"client": part.client} if part.client else {}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(scope.settings.user),
        "containers": [_container(scope, part)],
        "volumes": _volumes(scope, part, run_file),
    }
    if template.service_account_name:
        spec["serviceAccountName"] = template.service_account_name
    spec |= placement(template)
    return {
        "metadata": {
            "labels": template.labels
            | labels(scope.name, part.component, stage=part.stage, **more),
            "annotations": scraped(METRICS_PORT),
        },
        "spec": spec,
    }


def placement(template: PodTemplate) -> dict[str, Any]:
    """On which nodes a pod may be, and who goes first."""
    spec: dict[str, Any] = {}
    if template.node_selector:
        spec["nodeSelector"] = dict(template.node_selector)
    if template.tolerations:
        spec["tolerations"] = [raw(one) for one in template.tolerations]
    if template.priority_class_name:
        spec["priorityClassName"] = template.priority_class_name
    return spec


def pod_security(user: int) -> dict[str, Any]:
    """The pod's part of *restricted*."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        # A large volume is not gone through file by file at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(template: PodTemplate, defaults: Mapping[str, str]) -> dict[str, Any]:
    """What a container asks for: what is said, else its limit, else the default."""
    limits = dict(template.resources.limits)
    requests = {**defaults, **limits, **template.resources.requests}
    return {"requests": requests} | ({"limits": limits} if limits else {})


def scraped(port: int) -> dict[str, str]:
    """For a Prometheus that goes by annotations."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/metrics",
    }


def _container(scope: Scope, part: Part) -> dict[str, Any]:
    settings, template = scope.settings, part.template
    ports = {"metrics": METRICS_PORT, **(part.ports or {})}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image or settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["gptfl"],
        "args": [*part.arguments, *_common_arguments()],
        "env": _environment(scope, part),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": resources(template, settings.requests),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The stage writes its one line; where it could not, the end of its log has to do.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(scope, part),
    }
    if part.ports:
        first = next(iter(part.ports))
        container["readinessProbe"] = {"tcpSocket": {"port": first}, "periodSeconds": 2}
    sources = [{"secretRef": {"name": part.environment_of}}] if part.environment_of else []
    if part.has_broker and settings.broker_secret:
        sources.append({"secretRef": {"name": settings.broker_secret}})
    return container | ({"envFrom": sources} if sources else {})


def _common_arguments() -> list[str]:
    return [
        *("--metrics-port", str(METRICS_PORT)),
        *("--metrics-host", "0.0.0.0"),
        *("--log-format", "json"),
    ]


def _environment(scope: Scope, part: Part) -> list[dict[str, Any]]:
    plain = {
        "HOME": "/tmp",
        "HF_HOME": "/cache",
        "GPTFL_TERMINATION_LOG": "/dev/termination-log",
        "FLWR_TELEMETRY_ENABLED": "0",
        "OMP_NUM_THREADS": str(scope.run.spec.compute_threads),
    }
    if part.has_store:
        plain |= {"GPTFL_STORE": scope.store, **scope.store_environment}
        plain |= {"GPTFL_S3_SECRET": STORE_FOLDER} if scope.store_secret else {}
    if part.has_broker and scope.settings.broker and not scope.settings.broker_secret:
        plain["GPTFL_BROKER"] = scope.settings.broker
    given = [raw(variable) for variable in part.template.env]
    taken = {variable["name"] for variable in given}
    ours = [{"name": name, "value": value} for name, value in plain.items() if name not in taken]
    return [*ours, *given]


def _volumes(scope: Scope, part: Part, run_file: str) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [
        {"name": "run", "configMap": {"name": run_file}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "cache", "emptyDir": {}},
    ]
    if part.has_store and scope.store_secret:
        own.append({"name": "store", "secret": {"secretName": scope.store_secret}})
    return [*own, *part.volumes, *(raw(volume) for volume in part.template.volumes)]


def _mounts(scope: Scope, part: Part) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [
        {"name": "run", "mountPath": RUN_FILE, "subPath": "run.yaml", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "cache", "mountPath": "/cache"},
    ]
    if part.has_store and scope.store_secret:
        own.append({"name": "store", "mountPath": STORE_FOLDER, "readOnly": True})
    return [*own, *part.mounts, *(raw(mount) for mount in part.template.volume_mounts)]
