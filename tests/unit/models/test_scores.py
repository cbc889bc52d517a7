"""Scores are what one would count by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from gptfl.data.images import ImageSet
from gptfl.models.scores import Scores, evaluate


class Reads(nn.Module):
    """Answers with the label that stands in the first pixel, sure by a factor."""

    def __init__(self, classes: int = 3, sure: float = 5.0) -> None:
        super().__init__()
        self.classes, self.sure = classes, sure
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        named = (images[:, 0, 0, 0] * 255).round().long()
        return nn.functional.one_hot(named, self.classes).float() * self.sure + self.weight


def asked(truth: list[int], answers: list[int]) -> ImageSet:
    images = torch.zeros(len(truth), 1, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(answers, dtype=torch.uint8)
    return ImageSet(images, torch.tensor(truth))


def test_the_confusion_counts_truth_by_answer_whatever_the_batches() -> None:
    samples = asked(truth=[0, 0, 0, 1, 1, 2], answers=[0, 0, 1, 1, 2, 2])
    for batch_size in (1, 4, 512):
        scores = evaluate(Reads(), samples, classes=3, batch_size=batch_size)
        assert scores.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
        assert scores.accuracy == pytest.approx(4 / 6)
        assert scores.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
        assert scores.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_the_loss_is_the_mean_cross_entropy() -> None:
    scores = evaluate(Reads(sure=0.0), asked([0, 1], [0, 0]), classes=3)
    assert scores.loss == pytest.approx(np.log(3))


def test_labels_without_samples_count_in_no_mean() -> None:
    scores = Scores(0.0, np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]]))
    assert np.isnan(scores.recalls[1])
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert scores.macro_f1 == pytest.approx((6 / 7 + 8 / 9) / 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_in_the_mode_it_was_in(training: bool) -> None:
    module = Reads().train(training)
    evaluate(module, asked([0], [0]), classes=3)
    assert module.training is training


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(Reads(), asked([], []), classes=3)
