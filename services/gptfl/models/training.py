"""The one way in which a model learns, at the server and at the clients: an epoch over images.

Batches are taken by index from tensors in memory, so a step costs what torch makes it cost and
nothing more. Every draw comes from a generator that is passed in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from gptfl.data.images import ImageSet, as_float
from gptfl.models.augment import augment
from gptfl.models.device import autocast
from gptfl.spec.generation import Precision
from gptfl.spec.pretraining import AugmentationSpec, OptimizerName, OptimizerSpec


@dataclass(frozen=True)
class Recipe:
    """How a step is done, apart from the optimiser."""

    batch_size: int
    augmentation: AugmentationSpec
    label_smoothing: float = 0.0
    """Part of the target spread over all labels, 0..1."""
    gradient_clip: float | None = None
    """The largest norm of the gradient over all weights."""
    precision: Precision = Precision.FLOAT32
    proximal_mu: float = 0.0
    """FedProx's pull towards `anchor`: mu/2 times the squared distance is added to the loss."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch, or what was done of it, came to."""

    steps: int
    examples: int
    loss: float
    """Mean over the examples, in nats, without the proximal term; NaN when it diverged."""
    accuracy: float
    """Part of the augmented examples named right before the step that saw them, 0..1."""


def make_optimizer(
    spec: OptimizerSpec, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimiser of the spec over `parameters`."""
    rate, decay = spec.learning_rate, spec.weight_decay
    match spec.name:
        case OptimizerName.SGD:
            return torch.optim.SGD(parameters, lr=rate, momentum=spec.momentum, weight_decay=decay)
        case OptimizerName.ADAM:
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        case OptimizerName.ADAMW:
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def train_epoch(
    module: nn.Module,
    data: ImageSet,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    anchor: Sequence[torch.Tensor] | None = None,
    maximum_steps: int | None = None,
    after_step: Callable[[], None] | None = None,
) -> Epoch:
    """Shows `module` every sample once, in an order that `generator` draws.

    `data` are on the module's device; `generator` is a CPU one and also draws the augmentation.
    `anchor` are the weights that FedProx pulls towards, in the order of `module.parameters()`.
    Stops after `maximum_steps`. `after_step` is called after each (a learning rate's schedule).
    Dropout draws from torch's global state, which is the caller's to seed.
    """
    module.train()
    device = data.images.device
    order = torch.randperm(len(data), generator=generator).to(device)
    batches = torch.split(order, recipe.batch_size)[:maximum_steps]
    # Sums stay on the device: asking for a number at each step would wait for it each time.
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for batch in batches:
        images = augment(as_float(data.images[batch]), recipe.augmentation, generator)
        labels = data.labels[batch]
        with autocast(device, recipe.precision):
            logits = module(images)
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _adjust_gradients(module, recipe, anchor)
        optimizer.step()
        if after_step is not None:
            after_step()
        loss_sum += loss.detach() * len(batch)
        right += (logits.detach().argmax(1) == labels).sum()
    examples = sum(len(batch) for batch in batches)
    return Epoch(
        steps=len(batches),
        examples=examples,
        loss=float(loss_sum) / max(examples, 1),
        accuracy=int(right) / max(examples, 1),
    )


def _adjust_gradients(
    module: nn.Module, recipe: Recipe, anchor: Sequence[torch.Tensor] | None
) -> None:
    """FedProx's term as its gradient, mu * (w - anchor): Li et al., arXiv 1812.06127, equation 2;
    then the clip, of the sum."""
    if anchor is not None and recipe.proximal_mu > 0:
        for weight, centre in zip(module.parameters(), anchor, strict=True):
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - centre, alpha=recipe.proximal_mu)
    if recipe.gradient_clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
