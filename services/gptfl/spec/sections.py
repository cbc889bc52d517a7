"""What each stage reads of a run, and nothing more: the part of the spec that its key is made of.

A stage that is given its section cannot depend on the rest by accident, so a change elsewhere in
the file leaves its artifact fresh.
"""

from enum import StrEnum

from gptfl.spec.base import SpecModel
from gptfl.spec.data import DatasetSpec
from gptfl.spec.evaluation import EvaluationSpec
from gptfl.spec.federation import FederationSpec
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.pretraining import ModelSpec, PretrainingSpec
from gptfl.spec.prompts import PromptsSpec
from gptfl.spec.task import Label, Modality, TaskSpec


class Start(StrEnum):
    """What a federation's first global model is."""

    PRETRAINED = "Pretrained"
    RANDOM = "Random"
    PUBLIC_CHECKPOINT = "PublicCheckpoint"


class Pooling(StrEnum):
    """Whether the clients' data stay apart or, as a control, are one client's."""

    FEDERATED = "Federated"
    CENTRALISED = "Centralised"


class Section(SpecModel):
    """What all stages read: the run's seed and the number of threads that fixes the sums."""

    seed: int
    compute_threads: int


class PromptsSection(Section):
    """For `prompts`."""

    modality: Modality
    labels: list[Label]
    prompts: PromptsSpec


class GenerationSection(Section):
    """For `generation`; the shape that the model sees is not here, so changing it draws nothing."""

    modality: Modality
    labels: list[Label]
    generation: GenerationSpec


class PretrainingSection(Section):
    """For `pretraining`."""

    task: TaskSpec
    pretraining: PretrainingSpec


class FederationSection(Section):
    """For `federation`, once for the run and once for each control that federates."""

    task: TaskSpec
    model: ModelSpec
    federation: FederationSpec
    test: DatasetSpec
    start: Start
    pooling: Pooling


class EvaluationSection(Section):
    """For `evaluation`."""

    task: TaskSpec
    model: ModelSpec
    evaluation: EvaluationSpec


class ServingSection(Section):
    """For `serving`."""

    task: TaskSpec
    model: ModelSpec
