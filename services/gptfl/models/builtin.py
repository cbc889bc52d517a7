"""The classifiers that come with gptfl: small, fast on a CPU, for pictures of 4 pixels and up.

They have no batch statistics: running means differ between clients and spoil their average, which
is why federated learning prefers GroupNorm (Hsieh et al., arXiv 1910.00189).
"""

import torch
from torch import nn

from gptfl.spec.task import ImageShape


class Normalised(nn.Module):
    """Brings 0..1 to -1..1 before `body`, so that whoever has the weights needs no more."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] in 0..1 to logits [N, classes]"""
        return self.body(images * 2 - 1)  # type: ignore[no-any-return]


def small_cnn(shape: ImageShape, classes: int) -> nn.Module:
    """Three convolutions and two layers on top; 0.04 M parameters for ten classes.

    The first two see all pixels, since a digit of 8 x 8 has none to spare; three times the weights
    were no better on it. Channels lie last in memory, which is a third faster on a CPU.
    """

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]

    body = nn.Sequential(
        *block(shape.channels, 16),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(256, 64),
        nn.SiLU(),
        nn.Linear(64, classes),
    )
    return Normalised(body).to(memory_format=torch.channels_last)


def linear(shape: ImageShape, classes: int) -> nn.Module:
    """Logistic regression on the pixels: the smallest model there is, for trying things out."""
    pixels = shape.channels * shape.height * shape.width
    return Normalised(nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)))


BUILTIN = {"small-cnn": small_cnn, "linear": linear}
