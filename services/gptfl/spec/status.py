"""The status of a GPTFLRun on a cluster: what its operator has seen, never an input of anything."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gptfl.spec.base import SpecModel


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """What a condition is about."""

    ACCEPTED = "Accepted"
    GENERATED = "Generated"
    PRETRAINED = "Pretrained"
    FEDERATED = "Federated"
    EVALUATED = "Evaluated"
    PUBLISHED = "Published"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class Condition(SpecModel):
    """One thing that is so, is not so, or is not known yet."""

    type: ConditionType
    """What it is about."""
    status: ConditionStatus
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]\w*$")]
    """One CamelCase word of a documented list."""
    message: Annotated[str, Field(max_length=32_768)]
    """A sentence for people."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this was seen of."""
    last_transition_time: datetime
    """When `status` changed last."""


class Progress(SpecModel):
    """How far a stage is."""

    done: int
    """Units that are done."""
    total: int
    """Units in all."""
    unit: str
    """What is counted: images, rounds."""
    eta_seconds: int | None = None
    """Seconds that are left, as far as can be told."""


class StageState(StrEnum):
    """Where a stage is."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class StageStatus(SpecModel):
    """One stage, or one control."""

    name: str
    """The stage, with the control after a slash: `federation/from-scratch`."""
    state: StageState
    """Where it is."""
    key: str | None = None
    """The key of its artifact."""
    cached: bool | None = None
    """True when the artifact was there already."""
    started: datetime | None = None
    """When its work began."""
    finished: datetime | None = None
    """When its artifact was there."""
    progress: Progress | None = None
    """How far it is."""
    attempts: int | None = None
    """How often it was begun."""
    message: str | None = None
    """What went wrong, or why it is done again."""


class FederationStatus(SpecModel):
    """The federation at this moment."""

    round: int
    """The last round that is done."""
    rounds: int
    """Rounds in all."""
    connected: int | None = None
    """Clients that hold a stream."""
    selected: int | None = None
    """Clients drawn for the round."""
    failed: int | None = None
    """Clients of the round whose reply was refused or did not come."""


class ModelStatus(SpecModel):
    """The exported model."""

    uri: str
    """Its folder in the artifact store."""
    digest: str
    """SHA-256 of its content."""


class Status(SpecModel):
    """What has come of a run so far."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    phase: str | None = None
    """A summary for people: `Pending`, `Running`, `Succeeded`, `Failed`, `Suspended`."""
    stage: str | None = None
    """The stage that is at work."""
    progress: str | None = None
    """How far it is, in words: `12/30 rounds`."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = []
    """What is so, with reasons."""
    stages: Annotated[list[StageStatus], Field(max_length=64)] = []
    """Each stage and control."""
    federation: FederationStatus | None = None
    """The federation."""
    metrics: dict[str, float] | None = None
    """The final numbers: `accuracy`, and `accuracy/from-scratch` for a control."""
    model: ModelStatus | None = None
    """The exported model."""
    endpoint: str | None = None
    """Where the model answers."""
    report: str | None = None
    """Where the report is."""
