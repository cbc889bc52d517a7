"""How well a classifier does on labelled data."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from gptfl.data.images import ImageSet, as_float


@dataclass(frozen=True, eq=False)
class Scores:
    """The counts behind every number of an evaluation, and the loss."""

    loss: float
    """Mean cross-entropy, in nats."""
    confusion: NDArray[np.int64]
    """[classes, classes]: samples of the row's label that were taken for the column's"""

    @property
    def accuracy(self) -> float:
        """Part of all samples that were named right, 0..1."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def recalls(self) -> NDArray[np.float64]:
        """[classes]: part of each label's samples that were named right; NaN without samples"""
        return _ratio(np.diag(self.confusion), self.confusion.sum(1))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the labels that occur, 0..1."""
        return float(np.nanmean(self.recalls))

    @property
    def macro_f1(self) -> float:
        """Mean over the labels that occur of the harmonic mean of precision and recall, 0..1."""
        right = np.diag(self.confusion)
        present = self.confusion.sum(1) > 0
        f1 = 2 * right / np.maximum(self.confusion.sum(0) + self.confusion.sum(1), 1)
        return float(f1[present].mean())


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def evaluate(module: nn.Module, data: ImageSet, classes: int, batch_size: int = 512) -> Scores:
    """Scores of `module` on `data`, on the module's device; its mode is left as it was.

    Raises ValueError when there are no data.
    """
    if not len(data):
        raise ValueError("nothing to evaluate on")
    device = next(module.parameters()).device
    confusion = torch.zeros(classes * classes, dtype=torch.int64)
    loss = 0.0
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(data), batch_size):
                images = data.images[start : start + batch_size].to(device)
                labels = data.labels[start : start + batch_size].to(device)
                logits = module(as_float(images)).float()
                loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
                cells = labels * classes + logits.argmax(1)
                confusion += torch.bincount(cells.cpu(), minlength=classes * classes)
    finally:
        module.train(was_training)
    return Scores(loss / len(data), confusion.reshape(classes, classes).numpy())
