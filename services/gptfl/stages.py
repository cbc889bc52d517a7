"""The seven stages in order: what each reads, and which function does it.

Nothing here imports a stage, so a run in which nothing is to be done never loads torch.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from gptfl.spec.evaluation import Baseline
from gptfl.spec.run import GPTFLRun, RunSpec
from gptfl.spec.sections import (
    EvaluationSection,
    FederationSection,
    GenerationSection,
    Pooling,
    PretrainingSection,
    PromptsSection,
    Section,
    ServingSection,
    Start,
)
from gptfl.store import Artifact, Workspace

STAGES = (
    "prompts",
    "generation",
    "pretraining",
    "federation",
    "evaluation",
    "serving",
)
"""The stages that leave an artifact; `labels` are given in the spec."""

VERSIONS = dict.fromkeys(STAGES, 1)
"""Raised when a stage's code changes what it makes, so that old artifacts are not taken for new."""

FUNCTIONS = {stage: f"gptfl.{stage}.stage:run" for stage in STAGES}


class StageFunction(Protocol):
    """A stage: from its section and its inputs to files in a workspace; returns its metrics."""

    def __call__(
        self, section: Any, inputs: Mapping[str, Artifact], workspace: Workspace
    ) -> dict[str, float]: ...


@dataclass(frozen=True)
class Step:
    """One stage of one run, or of one of its controls."""

    name: str
    """The stage, with the control after a slash: ``federation/from-scratch``."""
    stage: str
    section: Section
    inputs: tuple[str, ...]
    """Names of the steps whose artifacts it reads."""

    @property
    def version(self) -> int:
        """The version of the stage's code."""
        return VERSIONS[self.stage]

    def function(self) -> StageFunction:
        """The stage's function; imports the stage."""
        module, name = FUNCTIONS[self.stage].split(":")
        return cast("StageFunction", getattr(importlib.import_module(module), name))


def plan(run: GPTFLRun) -> tuple[Step, ...]:
    """The steps of a run in the order in which they are done; a step's inputs stand before it."""
    spec = run.spec
    seeded = {"seed": spec.seed, "compute_threads": spec.compute_threads}
    labelled = seeded | {"modality": spec.task.modality, "labels": spec.task.labels}
    tasked = seeded | {"task": spec.task}
    judged = tasked | {"model": spec.pretraining.model}
    prompts = PromptsSection(**labelled, prompts=spec.prompts)
    generation = GenerationSection(**labelled, generation=spec.generation)
    pretraining = PretrainingSection(**tasked, pretraining=spec.pretraining)
    arms = _federation_arms(spec, judged)
    evaluation = EvaluationSection(**judged, evaluation=spec.evaluation)
    return (
        Step("prompts", "prompts", prompts, ()),
        Step("generation", "generation", generation, ("prompts",)),
        Step("pretraining", "pretraining", pretraining, ("generation",)),
        *arms,
        Step(
            "evaluation",
            "evaluation",
            evaluation,
            ("pretraining", *(arm.name for arm in arms)),
        ),
        Step("serving", "serving", ServingSection(**judged), ("federation", "evaluation")),
    )


ARMS = {
    Baseline.FROM_SCRATCH: ("from-scratch", Start.RANDOM, Pooling.FEDERATED),
    Baseline.PUBLIC_CHECKPOINT: ("public-checkpoint", Start.PUBLIC_CHECKPOINT, Pooling.FEDERATED),
    Baseline.CENTRALISED: ("centralised", Start.RANDOM, Pooling.CENTRALISED),
}
"""The controls that are a federation of their own. `SyntheticOnly` is the pre-trained model."""


def _federation_arms(spec: RunSpec, judged: Mapping[str, Any]) -> list[Step]:
    """The run's own federation, then its controls in the order in which they are asked for."""

    def arm(name: str, start: Start, pooling: Pooling) -> Step:
        section = FederationSection(
            **judged,
            federation=spec.federation,
            test=spec.evaluation.dataset,
            start=start,
            pooling=pooling,
        )
        inputs = ("pretraining",) if start is Start.PRETRAINED else ()
        return Step(name, "federation", section, inputs)

    own = arm("federation", Start.PRETRAINED, Pooling.FEDERATED)
    controls = [ARMS[baseline] for baseline in spec.evaluation.baselines if baseline in ARMS]
    return [own, *(arm(f"federation/{name}", start, pool) for name, start, pool in controls)]
