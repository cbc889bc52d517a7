"""The one training step: what it sees, in which order, and exactly where the weights go."""

import math

import pytest
import torch
from torch import nn

from gptfl.data.images import ImageSet
from gptfl.models.training import Epoch, Recipe, make_optimizer, train_epoch
from gptfl.spec.generation import Precision
from gptfl.spec.pretraining import AugmentationSpec, OptimizerName, OptimizerSpec

PLAIN = AugmentationSpec()


def recipe(batch_size: int = 4, **other: object) -> Recipe:
    return Recipe(batch_size=batch_size, augmentation=PLAIN, **other)  # type: ignore[arg-type]


def data(count: int = 10) -> ImageSet:
    generator = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 3)


def linear() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.constant_(module[1].weight, 0.01)
    nn.init.zeros_(module[1].bias)
    return module


def train(module: nn.Module, how: Recipe, seed: int = 0, **other: object) -> Epoch:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(seed)
    return train_epoch(module, data(), optimizer, how, generator, **other)  # type: ignore[arg-type]


def weights(module: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


class Watched(nn.Module):
    """Remembers how many samples each batch had and which they were."""

    def __init__(self) -> None:
        super().__init__()
        self.body = linear()
        self.batches: list[list[float]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(images[:, 0, 0, 0].tolist())
        return self.body(images)  # type: ignore[no-any-return]


def test_every_sample_is_seen_once_in_an_order_that_the_seed_draws() -> None:
    first, again, other = Watched(), Watched(), Watched()
    for module, seed in ((first, 1), (again, 1), (other, 2)):
        epoch = train(module, recipe(), seed)
        assert (epoch.steps, epoch.examples) == (3, 10)
    assert [len(batch) for batch in first.batches] == [4, 4, 2]
    assert first.batches == again.batches != other.batches
    seen = sorted(value for batch in first.batches for value in batch)
    assert seen == pytest.approx(sorted((data().images[:, 0, 0, 0] / 255).tolist()))


def test_a_step_is_gradient_descent_on_the_mean_cross_entropy() -> None:
    module, samples = linear(), data()
    start = weights(module)
    loss = nn.functional.cross_entropy(module(samples.images / 255), samples.labels)
    gradient = torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(module.parameters()))]
    )
    epoch = train(module, recipe(batch_size=10))
    assert torch.allclose(weights(module), start - 0.1 * gradient, atol=1e-7)
    assert epoch.loss == pytest.approx(loss.item(), abs=1e-6)


def test_the_proximal_term_pulls_towards_the_anchor_by_mu_times_the_distance() -> None:
    plain, pulled = linear(), linear()
    anchor = [weight.detach() + 1 for weight in pulled.parameters()]
    train(plain, recipe(batch_size=10))
    train(pulled, recipe(batch_size=10, proximal_mu=0.5), anchor=anchor)
    # Its gradient is mu * (w - anchor) = 0.5 * -1, and the step 0.1 times that.
    assert torch.allclose(weights(pulled) - weights(plain), torch.tensor(0.05), atol=1e-7)


def test_the_clip_bounds_the_whole_gradient_with_the_proximal_term_in_it() -> None:
    module = linear()
    start = weights(module)
    anchor = [weight.detach() + 100 for weight in module.parameters()]
    train(module, recipe(batch_size=10, proximal_mu=1, gradient_clip=0.2), anchor=anchor)
    assert float((weights(module) - start).norm()) == pytest.approx(0.1 * 0.2, rel=1e-4)


def test_label_smoothing_spreads_the_target() -> None:
    module, samples = linear(), data()
    expected = nn.functional.cross_entropy(
        module(samples.images / 255), samples.labels, label_smoothing=0.3
    )
    epoch = train(module, recipe(batch_size=10, label_smoothing=0.3))
    assert epoch.loss == pytest.approx(expected.item(), abs=1e-6)


def test_it_stops_after_the_steps_it_was_given() -> None:
    epoch = train(linear(), recipe(), maximum_steps=2)
    assert (epoch.steps, epoch.examples) == (2, 8)


def test_each_step_is_followed_by_what_was_asked_for() -> None:
    calls: list[int] = []
    train(linear(), recipe(), after_step=lambda: calls.append(1))
    assert len(calls) == 3


def test_one_sample_is_enough() -> None:
    module = linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    epoch = train_epoch(module, data(1), optimizer, recipe(), torch.Generator())
    assert (epoch.steps, epoch.examples) == (1, 1)


def test_divergence_shows_as_a_loss_that_is_no_number() -> None:
    module = linear()
    nn.init.constant_(module[1].weight, float("inf"))  # type: ignore[index]
    assert math.isnan(train(module, recipe()).loss)


def test_bfloat16_computes_in_sixteen_bits_and_keeps_weights_in_thirty_two() -> None:
    whole, half = linear(), linear()
    train(whole, recipe())
    train(half, recipe(precision=Precision.BFLOAT16))
    assert next(half.parameters()).dtype is torch.float32
    assert not torch.equal(weights(half), weights(whole))
    assert torch.allclose(weights(half), weights(whole), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (OptimizerName.SGD, torch.optim.SGD),
        (OptimizerName.ADAM, torch.optim.Adam),
        (OptimizerName.ADAMW, torch.optim.AdamW),
    ],
)
def test_optimisers_take_the_settings_of_the_spec(name: OptimizerName, kind: type) -> None:
    spec = OptimizerSpec(name=name, learning_rate=0.25, weight_decay=0.5, momentum=0.75)
    optimizer = make_optimizer(spec, linear().parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.5)
    assert group.get("momentum", 0.75) == 0.75
