"""The kinds of objects that the operator watches and writes, and their paths on an API server."""

from dataclasses import dataclass

from gptfl_operator.model import API_VERSION, PLURAL, RUN_UID_LABEL


@dataclass(frozen=True)
class Resource:
    """One kind, and which of its objects are watched."""

    api_version: str
    kind: str
    plural: str
    labels: str = ""
    fields: str = ""
    is_optional: bool = False
    """Whether a cluster may do without this kind."""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Where its objects are: all, those of a namespace, one, or a part of one."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        parts = [root]
        parts += ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


RUNS = Resource(API_VERSION, "GPTFLRun", PLURAL)
JOBS = Resource("batch/v1", "Job", "jobs", RUN_UID_LABEL)
PODS = Resource("v1", "Pod", "pods", RUN_UID_LABEL)
SERVICES = Resource("v1", "Service", "services", RUN_UID_LABEL)
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps", RUN_UID_LABEL)
SECRETS = Resource("v1", "Secret", "secrets", RUN_UID_LABEL)
NETWORK_POLICIES = Resource(
    "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", RUN_UID_LABEL
)
INFERENCE_SERVICES = Resource(
    "serving.kserve.io/v1beta1",
    "InferenceService",
    "inferenceservices",
    RUN_UID_LABEL,
    is_optional=True,
)
WARNINGS = Resource("v1", "Event", "events", fields="type=Warning")
"""Events carry no labels of what they are about: all warnings are heard, few are kept."""

CHILDREN = (
    JOBS,
    PODS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    NETWORK_POLICIES,
    INFERENCE_SERVICES,
)
WATCHED = (RUNS, *CHILDREN, WARNINGS)

_READ_BY_NAME = (
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Resource("v1", "ServiceAccount", "serviceaccounts"),
)
_BY_KIND = {one.kind: one for one in (*WATCHED, *_READ_BY_NAME)}


def resource_of(kind: str) -> Resource:
    """The resource of a kind; KeyError for one that the operator has no business with."""
    return _BY_KIND[kind]
