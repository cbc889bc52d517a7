"""The stages in order: what each reads of the spec, of the stages before it, and where it lives.

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

VERSIONS = {
    "prompts": 1,
    "generation": 1,
    "pretraining": 1,
    "federation": 2,
    "evaluation": 1,
    "serving": 1,
}
"""Raised when a stage's code changes what it makes, so that old artifacts are not taken for new."""


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
    section: Section
    inputs: tuple[str, ...]
    """Names of the steps whose artifacts it reads."""
    module: str
    """Where the stage's function `run` is."""
    version: int

    @property
    def stage(self) -> str:
        """The stage's name, which is its folder in the package and in the store."""
        return self.name.partition("/")[0]

    def load(self) -> StageFunction:
        """The stage's function; imports the stage."""
        return cast("StageFunction", importlib.import_module(self.module).run)


def plan(run: GPTFLRun) -> tuple[Step, ...]:
    """The steps of a run in the order in which they are done; a step's inputs stand before it."""
    spec = run.spec
    seeded = {"seed": spec.seed, "compute_threads": spec.compute_threads}
    labelled = seeded | {"modality": spec.task.modality, "labels": spec.task.labels}
    tasked = seeded | {"task": spec.task}
    judged = tasked | {"model": spec.pretraining.model}
    arms = _federation_arms(spec, judged)
    return (
        _step("prompts", PromptsSection(**labelled, prompts=spec.prompts)),
        _step("generation", GenerationSection(**labelled, generation=spec.generation), "prompts"),
        _step(
            "pretraining", PretrainingSection(**tasked, pretraining=spec.pretraining), "generation"
        ),
        *arms,
        _step(
            "evaluation",
            EvaluationSection(**judged, evaluation=spec.evaluation),
            "pretraining",
            *(arm.name for arm in arms),
        ),
        _step("serving", ServingSection(**judged), "federation", "evaluation"),
    )


ARMS = {
    Baseline.FROM_SCRATCH: ("from-scratch", Start.RANDOM, Pooling.FEDERATED),
    Baseline.PUBLIC_CHECKPOINT: ("public-checkpoint", Start.PUBLIC_CHECKPOINT, Pooling.FEDERATED),
    Baseline.CENTRALISED: ("centralised", Start.RANDOM, Pooling.CENTRALISED),
}
"""The controls that are a federation of their own. `SyntheticOnly` is the pre-trained model."""


def _federation_arms(spec: RunSpec, judged: Mapping[str, Any]) -> list[Step]:
    """The run's own federation, then its controls in the order in which they are asked for."""

    def section(start: Start, pooling: Pooling) -> FederationSection:
        return FederationSection(
            **judged,
            federation=spec.federation,
            test=spec.evaluation.dataset,
            start=start,
            pooling=pooling,
        )

    own = _step("federation", section(Start.PRETRAINED, Pooling.FEDERATED), "pretraining")
    controls = [ARMS[baseline] for baseline in spec.evaluation.baselines if baseline in ARMS]
    return [
        own,
        *(_step(f"federation/{name}", section(start, pool)) for name, start, pool in controls),
    ]


def _step(name: str, section: Section, *inputs: str) -> Step:
    stage = name.partition("/")[0]
    return Step(name, section, inputs, f"gptfl.{stage}.stage", VERSIONS[stage])
