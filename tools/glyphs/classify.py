"""The judge: a small classifier trained on drawn digits alone, asked about real handwriting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

SELECTION = 1437  # the first 80 % of the real digits; the rest is the product's test set


@dataclass(frozen=True)
class Augmentation:
    """Random changes to each 8 x 8 training image, in its own pixels and degrees."""

    rotate: float = 5.0
    shear: float = 0.08
    scale: float = 0.08
    shift: float = 0.4
    blur: float = 0.5
    noise: float = 0.05
    contrast: float = 0.0


def real_digits() -> tuple[Tensor, Tensor]:
    """The part of the real digits that choices may be made on."""
    data = load_digits()
    pixels = torch.tensor(data.images[:SELECTION], dtype=torch.float32)[:, None] / 16
    return pixels, torch.tensor(data.target[:SELECTION])


def to_eight(pixels: NDArray[np.uint8]) -> Tensor:
    """32 x 32 grey images as the classifier sees them."""
    return functional.avg_pool2d(torch.tensor(pixels, dtype=torch.float32)[:, None] / 255, 4)


def small_cnn() -> nn.Module:
    """About 0.1 M parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.SiLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.SiLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 96, 3, padding=1), nn.GroupNorm(8, 96), nn.SiLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(384, 64), nn.SiLU(), nn.Linear(64, 10),
    )  # fmt: skip


def augment(images: Tensor, how: Augmentation, random: torch.Generator) -> Tensor:
    """Each image moved, softened and made noisy in its own way."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    n = len(images)
    turn = torch.deg2rad(how.rotate * normal(n))
    grow = torch.exp(how.scale * normal(2, n))
    slant = how.shear * normal(n)
    shift = how.shift * normal(n, 2) / 4  # grid units: the frame is 2 wide
    top = torch.stack([turn.cos() * grow[0], (slant - turn.sin()) * grow[0], shift[:, 0]], 1)
    bottom = torch.stack([turn.sin() * grow[1], turn.cos() * grow[1], shift[:, 1]], 1)
    grid = functional.affine_grid(
        torch.stack([top, bottom], 1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, align_corners=False)
    soft = functional.avg_pool2d(functional.pad(moved, (1, 1, 1, 1)), 3, 1)
    share = how.blur * torch.rand(n, 1, 1, 1, generator=random)
    moved = moved * (1 - share) + soft * share
    gain = torch.exp(how.contrast * normal(n, 1, 1, 1))
    return (moved * gain + how.noise * normal(*moved.shape)).clamp(0, 1)


def transfer(
    images: Tensor, labels: Tensor, seed: int, how: Augmentation | None = None, epochs: int = 20
) -> tuple[float, NDArray[np.int64]]:
    """Train on the drawn images; accuracy on the real ones and the confusion counts."""
    how = how or Augmentation()
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = small_cnn()
    steps = epochs * -(-len(images) // 64)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for step in range(steps):
        if step % -(-len(images) // 64) == 0:
            order = torch.randperm(len(images), generator=random)
        batch = order[(step * 64) % len(images) :][:64]
        loss = functional.cross_entropy(
            model(augment(images[batch], how, random)), labels[batch], label_smoothing=0.05
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    real, truth = real_digits()
    model.eval()
    with torch.inference_mode():
        guess = model(real).argmax(1)
    confusion = np.zeros((10, 10), dtype=np.int64)
    np.add.at(confusion, (truth.numpy(), guess.numpy()), 1)
    return float((guess == truth).float().mean()), confusion
