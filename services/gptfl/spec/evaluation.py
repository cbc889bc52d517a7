"""How the final model is judged: on what, against which controls, and what it must reach."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gptfl.spec.base import NOT_IN_KEY, SpecModel
from gptfl.spec.data import DatasetSpec
from gptfl.spec.pods import PodTemplate


class Baseline(StrEnum):
    """A control: the same run without one of the things that make it GPT-FL."""

    FROM_SCRATCH = "FromScratch"
    SYNTHETIC_ONLY = "SyntheticOnly"
    CENTRALISED = "Centralised"
    PUBLIC_CHECKPOINT = "PublicCheckpoint"


class GateMetric(StrEnum):
    """A number of the evaluation."""

    ACCURACY = "Accuracy"
    BALANCED_ACCURACY = "BalancedAccuracy"
    MACRO_F1 = "MacroF1"


class GateSpec(SpecModel):
    """What a model must reach to be published."""

    metric: GateMetric = GateMetric.ACCURACY
    """Which number."""
    minimum: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The least it may be."""


class EvaluationSpec(SpecModel):
    """Judging the final model."""

    dataset: DatasetSpec
    """Real, labelled data that no client trains on."""
    baselines: Annotated[
        list[Baseline],
        Field(max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = [
        Baseline.FROM_SCRATCH,
        Baseline.SYNTHETIC_ONLY,
    ]
    """The controls. `Centralised` needs `federation.simulation`; `PublicCheckpoint` needs
    `pretraining.model.publicWeights`."""
    gate: GateSpec = GateSpec()
    """What a model must reach to be published."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The stage's pod."""
