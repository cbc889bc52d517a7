"""Random changes to images while a model learns from them."""

import math

import torch
from torch.nn import functional

from gptfl.spec.pretraining import AugmentationSpec


def augment(
    images: torch.Tensor, spec: AugmentationSpec, generator: torch.Generator
) -> torch.Tensor:
    """Changed copies of float images [N, C, H, W] in 0..1, each changed in its own way.

    All draws come from `generator`, a CPU one, so every device sees the same changes; what is
    switched off draws nothing. Moved images show black where nothing was.
    """
    if _moves(spec):
        images = _move(images, spec, generator)
    if spec.flip:
        mirrored = torch.rand(len(images), generator=generator) < spec.flip
        images = torch.where(_per_image(mirrored, images), images.flip(-1), images)
    if spec.contrast:
        gain = 1 + spec.contrast * _even(len(images), generator)
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * _per_image(gain, images)
    if spec.noise:
        noise = torch.randn(images.shape, generator=generator)
        images = images + spec.noise * noise.to(images.device)
    return images.clamp(0, 1) if spec.contrast or spec.noise else images


def _moves(spec: AugmentationSpec) -> bool:
    return any((spec.shift, spec.rotate, spec.scale, spec.shear))


def _move(images: torch.Tensor, spec: AugmentationSpec, generator: torch.Generator) -> torch.Tensor:
    """Shift, turn, size and slant as one affine map and one resampling."""
    maps = _maps(len(images), spec, generator)
    # Height and width differ in the grid's units, where both sides are 2 long.
    ratio = images.shape[-1] / images.shape[-2]
    maps[:, 0, 1] /= ratio
    maps[:, 1, 0] *= ratio
    grid = functional.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _maps(count: int, spec: AugmentationSpec, generator: torch.Generator) -> torch.Tensor:
    """[N, 2, 3]: for each image, where each pixel of the result comes from, as a square's map."""
    angle = math.radians(spec.rotate) * _even(count, generator)
    size = 1 + spec.scale * _even(count, generator)
    slant = spec.shear * _even(count, generator)
    shift = 2 * spec.shift * _even(count * 2, generator).reshape(2, count)
    cos, sin = angle.cos() / size, angle.sin() / size
    across = torch.stack([cos, cos * slant - sin, shift[0]], dim=1)
    down = torch.stack([sin, sin * slant + cos, shift[1]], dim=1)
    return torch.stack([across, down], dim=1)


def _even(count: int, generator: torch.Generator) -> torch.Tensor:
    """Numbers drawn evenly from -1..1."""
    return torch.rand(count, generator=generator) * 2 - 1


def _per_image(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """One value an image, shaped to meet its pixels."""
    return values.to(images.device).reshape(-1, 1, 1, 1)
