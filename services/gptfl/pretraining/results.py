"""`history.json` of pretraining: how training on the synthetic data went."""

from gptfl.spec.base import SpecModel

HISTORY_NAME = "history.json"


class EpochRecord(SpecModel):
    """One pass over the synthetic data."""

    epoch: int
    """From 1."""
    loss: float
    """Mean cross-entropy over the augmented samples, each before the step that saw it; in nats."""
    accuracy: float
    """Part of them that were named right, 0..1."""


class PretrainingHistory(SpecModel):
    """The epochs in order."""

    labels: list[str]
    samples: int
    """Synthetic samples trained on."""
    parameters: int
    """Numbers in the model."""
    epochs: tuple[EpochRecord, ...]
