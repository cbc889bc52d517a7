"""What is known of a run, read from its artifacts as types; what is not there is None.

A failed or unfinished run has a report too, so every reader of this copes with what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel

from gptfl.evaluation.results import OWN as OWN_MODEL
from gptfl.evaluation.results import REPORT_NAME, SYNTHETIC_ONLY, EvaluationReport, ModelScores
from gptfl.federation.results import HISTORY, FederationHistory
from gptfl.generation.results import GenerationReport
from gptfl.pretraining.results import HISTORY_NAME, PretrainingHistory
from gptfl.prompts.results import PromptSet
from gptfl.spec.run import GPTFLRun
from gptfl.stages import Step, plan
from gptfl.store import Artifact, RunStatus

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Arm:
    """The run's own model or one of its controls."""

    model: str
    """Its name among the models of the evaluation."""
    step: str
    """The step whose artifact holds its weights."""
    name: str
    """As it is written in charts."""
    words: str
    """As it is written in a sentence."""
    style: str
    """Its CSS class."""


OWN = Arm(OWN_MODEL, "federation", "GPT-FL", "GPT-FL", "own")
SYNTHETIC = Arm(SYNTHETIC_ONLY, "pretraining", "Synthetic only", "the synthetic start", "synthetic")
CONTROLS = (
    SYNTHETIC,
    Arm(
        "from-scratch", "federation/from-scratch",
        "From scratch", "federation from scratch", "scratch",
    ),
    Arm(
        "public-checkpoint", "federation/public-checkpoint",
        "Public checkpoint", "federation from a public checkpoint", "public",
    ),
    Arm(
        "centralised", "federation/centralised",
        "Centralised", "centralised training", "central",
    ),
)  # fmt: skip
"""In the order in which a reader asks for them."""


@dataclass(frozen=True)
class Facts:
    """A run, its artifacts by step, and its status when there is one."""

    run: GPTFLRun
    artifacts: Mapping[str, Artifact]
    status: RunStatus | None

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the run, done or not."""
        return plan(self.run)

    @property
    def missing(self) -> tuple[Step, ...]:
        """The steps that have left nothing yet."""
        return tuple(step for step in self.steps if step.name not in self.artifacts)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.run.spec.task.labels)

    @cached_property
    def prompts(self) -> PromptSet | None:
        return self._read("prompts", "prompts.json", PromptSet)

    @cached_property
    def generation(self) -> GenerationReport | None:
        return self._read("generation", "generation.json", GenerationReport)

    @cached_property
    def pretraining(self) -> PretrainingHistory | None:
        return self._read("pretraining", HISTORY_NAME, PretrainingHistory)

    @cached_property
    def evaluation(self) -> EvaluationReport | None:
        return self._read("evaluation", REPORT_NAME, EvaluationReport)

    @cached_property
    def histories(self) -> Mapping[str, FederationHistory]:
        """Of every federation that is done, by the name of its arm's model."""
        found = {
            arm.model: self._read(arm.step, HISTORY, FederationHistory)
            for arm in (OWN, *CONTROLS)
            if arm is not SYNTHETIC
        }
        return {model: history for model, history in found.items() if history is not None}

    @property
    def own(self) -> FederationHistory | None:
        """The rounds of the run's own federation."""
        return self.histories.get(OWN.model)

    def history_of(self, step: str) -> FederationHistory | None:
        """The rounds of the federation that is the step of that name."""
        arm = next((arm for arm in (OWN, *CONTROLS) if arm.step == step), None)
        return self.histories.get(arm.model) if arm else None

    def scores(self, arm: Arm) -> ModelScores | None:
        """What the evaluation says of an arm."""
        return self.evaluation.model(arm.model) if self.evaluation else None

    def accuracy(self, arm: Arm) -> float | None:
        """An arm's final accuracy: the evaluation's, or else that of its last round."""
        scores = self.scores(arm)
        if scores is not None:
            return scores.accuracy
        if arm is SYNTHETIC:
            return self.own.rounds[0].accuracy if self.own and self.own.rounds else None
        history = self.histories.get(arm.model)
        return history.rounds[-1].accuracy if history and history.rounds else None

    def _read(self, step: str, name: str, model: type[Model]) -> Model | None:
        artifact = self.artifacts.get(step)
        return None if artifact is None else artifact.read_model(name, model)
