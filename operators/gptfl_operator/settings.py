"""What whoever installs the operator decides: image, store, broker, what pods get by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel


class DeploymentMode(StrEnum):
    """How KServe runs a model."""

    STANDARD = "Standard"
    KNATIVE = "Knative"


class ServiceType(StrEnum):
    """Types of a Service of Kubernetes."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True)
class OperatorSettings:
    """The same for every run that the operator looks after."""

    # Read from a file, names are as in every file of Kubernetes: `storeSecret`.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=to_camel, extra="forbid", hide_input_in_errors=True
    )

    image: str
    """The image of the stages."""
    image_pull_policy: str = "IfNotPresent"
    store: str | None = None
    """`s3://BUCKET/PREFIX`, for runs that name no store of their own."""
    store_endpoint: str | None = None
    store_region: str | None = None
    store_secret: str | None = None
    """The Secret with the store's keys, in the namespace of each run."""
    broker: str | None = None
    """The Redis of the generation workers. Without one, one pod draws all images."""
    broker_secret: str | None = None
    """A Secret whose `GPTFL_BROKER` is the Redis' address with its password, in the namespace of
    each run; it goes before `broker`."""
    serving_runtime: str = "gptfl-1"
    """KServe's ServingRuntime, its version in its name."""
    deployment_mode: DeploymentMode = DeploymentMode.STANDARD
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "250m", "memory": "1Gi"})
    """What a container asks for when the run does not say."""
    user: int = 1000
    """The user and group that pods run as."""
    scrapers: Mapping[str, str] = field(default_factory=dict)
    """Labels of the namespaces from which metrics are read; empty for all."""
    aggregator_service: ServiceType = ServiceType.CLUSTER_IP
    """How clients outside the cluster get to an aggregator; inside it changes nothing."""
    aggregator_hosts: tuple[str, ...] = ()
    """Names and addresses by which they know it, for its certificate."""
    simulated_clients: int = 50
    """The most pods for made-up clients of one run."""
    poll_seconds: float = 10.0
    """Between two looks at the progress of a run that is at work."""
    retry_seconds: float = 30.0
    """Until something outside of the run that is missing is looked for again."""

    @property
    def has_broker(self) -> bool:
        """Whether generation can have workers."""
        return bool(self.broker or self.broker_secret)
