"""What a client does in its turn: a Flower `ClientApp` that trains on its own data.

The same app serves all clients of a laptop, a resident process at a data owner's site, and a
stock Flower SuperNode: how to train comes with each message, and what the client knows of its
data comes through one small protocol.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from torch import nn

from gptfl.data.images import ImageSet
from gptfl.errors import DataError
from gptfl.federation.arrays import decode, encode
from gptfl.federation.orders import Orders, proximal_mu
from gptfl.federation.presence import Presence, Question
from gptfl.federation.replies import EXAMPLES, TRAIN_ACCURACY, TRAIN_LOSS
from gptfl.federation.warm import WarmModel
from gptfl.models.training import Epoch, Recipe, make_optimizer, train_epoch


class ClientData(Protocol):
    """What a client has."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def label_counts(self, classes: int) -> list[int] | None:
        """Samples of each of `classes` labels; None when that stays with the client."""

    def samples(self) -> ImageSet:
        """Its images with labels, on the CPU; asked for at each turn and let go after it."""


def make_client_app(
    module: nn.Module, data_of: Callable[[Context], ClientData], mods: Sequence[Mod] = ()
) -> ClientApp:
    """An app that trains `module` on what `data_of` gives for a context.

    `module` keeps its place in memory; each message brings the weights to begin with. A reply
    holds the weights after training and `num-examples`, `train-loss`, `train-accuracy`. Asked who
    it is, it says its name, how many samples it has, and their labels if it may. `mods` are
    Flower's: what stands around each turn.
    """
    app = ClientApp(mods=list(mods))
    model = WarmModel(module)

    @app.query()
    def who(message: Message, context: Context) -> Message:
        data = data_of(context)
        counts = data.label_counts(Question.of(message.content).classes)
        answer = Presence(data.name, len(data), counts)
        return Message(answer.to_content(), reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        data = data_of(context)
        samples = data.samples()
        if not len(samples):
            raise DataError(f"client {data.name} has no samples")
        arrays = next(iter(message.content.array_records.values()))
        model.load(decode(arrays))
        orders = Orders.of(message.content)
        trained = _train(model, samples, orders, proximal_mu(message.content))
        metrics: dict[str, Any] = {
            EXAMPLES: len(samples),
            TRAIN_LOSS: trained.loss,
            TRAIN_ACCURACY: trained.accuracy,
        }
        content = RecordDict({"arrays": encode(model.weights()), "metrics": MetricRecord(metrics)})
        return Message(content, reply_to=message)

    return app


def _train(model: WarmModel, samples: ImageSet, orders: Orders, mu: float) -> Epoch:
    """All local epochs; all draws, dropout's too, come from the seed of the orders."""
    local = orders.local
    recipe = Recipe(
        batch_size=local.batch_size,
        augmentation=local.augmentation,
        gradient_clip=local.gradient_clip,
        proximal_mu=mu,
    )
    data = samples.to(model.device)
    parameters = list(model.module.parameters())
    anchor = [weight.detach().clone() for weight in parameters] if mu > 0 else None
    optimizer = make_optimizer(local.optimizer, parameters)
    generator = torch.Generator().manual_seed(orders.seed)
    left = local.maximum_steps
    epochs = []
    with _seeded_globals(orders.seed, model.device):
        for _ in range(local.epochs):
            epoch = train_epoch(
                model.module,
                data,
                optimizer,
                recipe,
                generator,
                anchor=anchor,
                maximum_steps=left,
            )
            epochs.append(epoch)
            left = None if left is None else left - epoch.steps
            if left == 0:
                break
    return _together(epochs)


@contextmanager
def _seeded_globals(seed: int, device: torch.device) -> Iterator[None]:
    """Fixes torch's global random state, from which dropout draws, and puts it back."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        # Not torch.manual_seed, which formats a stack trace for each accelerator that sleeps.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def _together(epochs: list[Epoch]) -> Epoch:
    examples = sum(epoch.examples for epoch in epochs)
    return Epoch(
        steps=sum(epoch.steps for epoch in epochs),
        examples=examples,
        loss=sum(epoch.loss * epoch.examples for epoch in epochs) / examples,
        accuracy=sum(epoch.accuracy * epoch.examples for epoch in epochs) / examples,
    )
