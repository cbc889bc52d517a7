"""What may be said of the pods of a stage on a cluster; a laptop reads past it.

Names and meaning are those of Kubernetes. What Kubernetes itself describes in full, such as a
volume, is passed on as it stands.
"""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from gptfl.spec.base import SpecModel

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def _quantity(value: Any) -> int | str:
    """A choice of types would give an error for each of them; this gives one."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if is_whole or (isinstance(value, str) and re.match(QUANTITY, value)):
        quantity: int | str = value
        return quantity
    raise PydanticCustomError("quantity", "no quantity")


Quantity = Annotated[
    int | str,
    PlainValidator(_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY}),
]
"""`500m`, `4Gi`, `1`."""
SubdomainName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253),
]
LabelName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)
]


class KubernetesObject(SpecModel):
    """A part of a pod that is passed on as it is written; the API server knows its fields."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)
    __pydantic_extra__: dict[str, JsonValue]


class Volume(KubernetesObject):
    """A volume of Kubernetes: a name, and `persistentVolumeClaim`, `secret`, `configMap` …"""

    name: LabelName
    """What a mount calls it."""


class VolumeMount(KubernetesObject):
    """Where a container sees a volume."""

    name: LabelName
    """The volume."""
    mount_path: Annotated[str, StringConstraints(pattern=r"^/", max_length=1024)]
    """Where it is seen."""


class EnvironmentVariable(KubernetesObject):
    """A variable of Kubernetes: a name, and `value` or `valueFrom`."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=253)]
    """The variable."""


class TolerationOperator(StrEnum):
    """How a toleration meets a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(SpecModel):
    """A taint that does not matter."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """The taint's key; every taint when unset, which needs `operator: Exists`."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """`Exists`: whatever the taint's value. `Equal`: when it is `value`."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """The taint's value."""
    effect: TaintEffect | None = None
    """The effect that does not matter; every one when unset."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """For how long a pod stays where `NoExecute` would have it go; for ever when unset."""


class Resources(SpecModel):
    """What a container gets."""

    requests: dict[str, Quantity] = {}
    """What a node must have to spare: `cpu`, `memory`, `ephemeral-storage`. What is not said here
    is the limit, or else the operator's default."""
    limits: dict[str, Quantity] = {}
    """What it may use: `memory: 8Gi`, `nvidia.com/gpu: 1`."""


class PodTemplate(SpecModel):
    """The pods of a stage, as far as they differ from the operator's defaults."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """The image; it holds gptfl and whatever the run's own functions need."""
    resources: Resources = Resources()
    """What the container gets."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = []
    """Taints that do not matter."""
    priority_class_name: SubdomainName | None = None
    """Who goes first when nodes are full."""
    service_account_name: SubdomainName | None = None
    """For image pull secrets or a cloud's identity; no token of Kubernetes is mounted."""
    labels: dict[str, str] = {}
    """More labels; `gptfl.io/` and `app.kubernetes.io/` are the operator's."""
    env: Annotated[list[EnvironmentVariable], Field(max_length=100)] = []
    """More environment variables."""
    volumes: Annotated[list[Volume], Field(max_length=32)] = []
    """More volumes: weights, data, a cache of the model hub."""
    volume_mounts: Annotated[
        list[VolumeMount],
        Field(
            max_length=32,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["mountPath"],
            },
        ),
    ] = []
    """Where the container sees them."""


def raw(value: SpecModel) -> dict[str, Any]:
    """A part of a pod as Kubernetes takes it."""
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
