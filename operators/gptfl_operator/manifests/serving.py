"""A revision of a model as an InferenceService of its own, and the Service that users know.

A revision is made once and never changed: KServe's status can only be believed of a fresh one. So
to publish, and to go back, is to change the selector of the Service.
"""

from typing import Any

from gptfl.spec.base import canonical
from gptfl.spec.pods import PodTemplate, raw
from gptfl_operator.manifests.pods import placement, pod_security, resources, scraped
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import Object
from gptfl_operator.names import KSERVE_REVISION, digest8, labels
from gptfl_operator.settings import DeploymentMode

HTTP_PORT = 8080
GRPC_PORT = 8081
API_VERSION = "serving.kserve.io/v1beta1"


def revision_name(scope: Scope, digest: str) -> str:
    """`<model>-<digest8>`, of another digest where the pods are to be otherwise."""
    template = scope.run.spec.serving.predictor_template
    suffix = digest[:8] if template is None else digest8(digest, canonical(template))
    return f"{scope.model_name}-{suffix}"


def inference_service(scope: Scope, key: str, digest: str) -> dict[str, Any]:
    """The revision that serves the exported model of that key and digest."""
    template = scope.run.spec.serving.predictor_template or PodTemplate()
    more = {"model": scope.model_name, "revision": digest[:8]}
    own = labels(scope.name, "predictor", stage="serving", **more)
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": revision_name(scope, digest),
            "labels": template.labels | own,
            "annotations": _annotations(scope),
        },
        "spec": {"predictor": _predictor(scope, key, template)},
    }


def service(scope: Scope, revision: str, published: str) -> dict[str, Any]:
    """The address of the model, whose selector is the switch.

    `published` says when the revision was made, so that another run can tell which is newer.
    """
    ports = [
        {"name": "http1", "port": 80, "targetPort": HTTP_PORT},
        {
            "name": "h2c",
            "port": GRPC_PORT,
            "targetPort": GRPC_PORT,
            "appProtocol": "kubernetes.io/h2c",
        },
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": scope.model_name,
            "labels": labels(scope.name, "endpoint", stage="serving", model=scope.model_name),
            "annotations": {PUBLISHED: published},
        },
        "spec": {"selector": {KSERVE_REVISION: revision}, "ports": ports},
    }


PUBLISHED = "gptfl.io/published"


def endpoint(scope: Scope) -> str:
    """Where to send requests."""
    return f"http://{scope.model_name}.{scope.namespace}.svc{_path(scope)}"


def probe_url(scope: Scope, revision: Object) -> str:
    """Where a revision answers before it is published."""
    name = revision["metadata"]["name"]
    default = f"http://{name}-predictor.{scope.namespace}.svc"
    address = ((revision.get("status") or {}).get("address") or {}).get("url") or default
    return f"{address.rstrip('/')}{_path(scope)}"


PROBE_BODY = {"instances": [[[0, 0], [0, 0]]]}
"""One black image; a server brings it to the model's shape."""


def _path(scope: Scope) -> str:
    return f"/v1/models/{scope.model_name}:predict"


def _annotations(scope: Scope) -> dict[str, str]:
    """Each of these keeps a trap of KServe's shut; see `docs/decisions`."""
    mode = scope.settings.deployment_mode
    own = {"serving.kserve.io/deploymentMode": mode.value, **scraped(HTTP_PORT)}
    if mode is DeploymentMode.STANDARD:
        own["serving.kserve.io/autoscalerClass"] = "none"
    if scope.store_secret:
        own["serving.kserve.io/secretName"] = scope.store_secret
    return own


def _predictor(scope: Scope, key: str, template: PodTemplate) -> dict[str, Any]:
    model: dict[str, Any] = {
        "modelFormat": {"name": "gptfl"},
        "runtime": scope.settings.serving_runtime,
        # Without the slash at its end the files of every key that begins like this one come too.
        "storageUri": f"{scope.store}/artifacts/serving/{key}/",
        # After the runtime's own, so that the URL is the same for every revision.
        "args": [f"--name={scope.model_name}"],
    }
    if template.resources != PodTemplate().resources:
        model["resources"] = resources(template, {})
    if template.env:
        model["env"] = [raw(variable) for variable in template.env]
    if template.volume_mounts:
        model["volumeMounts"] = [raw(mount) for mount in template.volume_mounts]
    predictor: dict[str, Any] = {
        "minReplicas": scope.run.spec.serving.replicas,
        "automountServiceAccountToken": False,
        "securityContext": pod_security(scope.settings.user),
        "model": model,
        **placement(template),
    }
    if template.service_account_name:
        predictor["serviceAccountName"] = template.service_account_name
    if template.volumes:
        predictor["volumes"] = [raw(volume) for volume in template.volumes]
    return predictor
