"""`evaluation.json`: how good the final model and its controls are on real data."""

from gptfl.spec.base import SpecModel
from gptfl.spec.evaluation import GateMetric

REPORT_NAME = "evaluation.json"

OWN = "gpt-fl"
"""The run's own model among `EvaluationReport.models`; the others are controls."""

SYNTHETIC_ONLY = "synthetic-only"
"""The pre-trained model, which no client has touched."""


class ModelScores(SpecModel):
    """One model on the test data."""

    name: str
    """`gpt-fl`, or a control: `synthetic-only`, `from-scratch`, `centralised`,
    `public-checkpoint`."""
    accuracy: float
    """Part of all samples that were named right, 0..1."""
    balanced_accuracy: float
    """Mean of the labels' recalls, over the labels that occur, 0..1."""
    macro_f1: float
    """Mean of the labels' F1, over the labels that occur, 0..1."""
    loss: float
    """Mean cross-entropy, in nats."""
    confusion: list[list[int]]
    """Samples of the row's label that were taken for the column's."""


class GateResult(SpecModel):
    """Whether the model may be published."""

    metric: GateMetric
    minimum: float
    value: float
    passed: bool


class EvaluationReport(SpecModel):
    """The numbers of a run."""

    labels: list[str]
    samples: int
    """Test samples."""
    absent_labels: list[str]
    """Labels without a test sample; the means leave them out."""
    models: list[ModelScores]
    """The run's own model first."""
    gate: GateResult

    def model(self, name: str) -> ModelScores | None:
        """The scores of the model of that name."""
        return next((scores for scores in self.models if scores.name == name), None)
