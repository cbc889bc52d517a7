"""One client's turn: the app gets weights and orders, and gives weights and numbers back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from federation_toy import same
from flwr.app import ConfigRecord, Message, RecordDict
from numpy.typing import NDArray
from torch import nn

from gptfl.data.images import ImageSet
from gptfl.errors import ModelError
from gptfl.federation.arrays import decode, encode
from gptfl.federation.client import make_client_app
from gptfl.federation.cohort import Share
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.orders import Orders
from gptfl.federation.warm import WarmModel
from gptfl.spec.federation import LocalOptimizerSpec, LocalSpec

RATE = LocalOptimizerSpec(learning_rate=0.1)


def images(*labels: int) -> ImageSet:
    """One grey 4 x 4 image for each label, dark for 0 and bright for 1."""
    levels = torch.tensor(labels, dtype=torch.uint8) * 200 + 20
    return ImageSet(levels.reshape(-1, 1, 1, 1).repeat(1, 1, 4, 4), torch.tensor(labels))


class Counted(nn.Module):
    """Batch normalisation brings float and integer buffers; dropout draws from torch's state."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)  # type: ignore[no-any-return]


class Office:
    """A grid of clients that share one warm model."""

    def __init__(self, *shares: ImageSet, module: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        self.module = module or Counted()
        self.model = WarmModel(self.module)
        self.first = {name: np.array(it) for name, it in self.model.weights().items()}
        clients = [Share(f"client-{index}", share) for index, share in enumerate(shares)]
        app = make_client_app(self.module, lambda context: clients[context.node_id - 1])
        self.grid = InProcessGrid(app, range(1, len(clients) + 1))

    def turn(
        self, node: int = 1, *, local: LocalSpec | None = None, seed: int = 5, mu: float = 0.0
    ) -> Message:
        local = local or LocalSpec(optimizer=RATE, batch_size=2)
        content = RecordDict(
            {
                "arrays": encode(self.first),
                "config": ConfigRecord({"proximal-mu": mu} if mu else {"server-round": 1}),
                Orders.KEY: Orders(1, seed, local).to_record(),
            }
        )
        return next(iter(self.grid.send_and_receive([Message(content, node, "train")])))

    def weights(self, **options: Any) -> dict[str, NDArray[Any]]:
        return decode(self.turn(**options).content.array_records["arrays"])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_reply_has_all_weights_and_buffers_and_three_numbers() -> None:
    office = Office(images(0, 1, 0, 1))
    reply = office.turn()
    weights = decode(reply.content.array_records["arrays"])
    assert {name: values.dtype for name, values in weights.items()} == {
        name: values.dtype for name, values in office.first.items()
    }
    assert weights["body.0.num_batches_tracked"] == 2
    assert not np.array_equal(weights["body.0.running_mean"], office.first["body.0.running_mean"])
    metrics = dict(reply.content.metric_records["metrics"])
    assert metrics["num-examples"] == 4
    assert 0 < metrics["train-loss"] < 10  # type: ignore[operator]
    assert 0 <= metrics["train-accuracy"] <= 1  # type: ignore[operator]


def test_a_turn_depends_on_weights_orders_and_data_alone() -> None:
    office = Office(images(0, 1, 0, 1), images(1, 1, 1))
    alone = office.weights(node=1)
    office.weights(node=2)
    torch.manual_seed(99)
    assert same(office.weights(node=1), alone)
    assert not same(office.weights(node=1, seed=6), alone)


def test_torchs_global_state_is_left_as_it_was() -> None:
    office = Office(images(0, 1))
    before = torch.get_rng_state()
    office.turn()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("labels", [(1,) * 7, (0, 1), (1, 1)])
def test_clients_with_one_class_or_two_samples_learn(labels: tuple[int, ...]) -> None:
    office = Office(images(*labels), module=nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    reply = office.turn(local=LocalSpec(optimizer=RATE, epochs=20))
    assert reply.content.metric_records["metrics"]["num-examples"] == len(labels)
    office.model.load(decode(reply.content.array_records["arrays"]))
    data = images(*labels)
    with torch.no_grad():
        assert torch.equal(office.module(data.images / 255).argmax(1), data.labels)


def test_one_step_of_gradient_descent_by_hand() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    office = Office(images(0, 1), module=module)
    office.model.load(office.first)
    data = images(0, 1)
    nn.functional.cross_entropy(module(data.images / 255), data.labels).backward()
    assert module[1].bias.grad is not None
    expected = office.first["1.bias"] - 0.1 * module[1].bias.grad.numpy()
    made = office.weights(local=LocalSpec(optimizer=RATE))
    assert made["1.bias"] == pytest.approx(expected, abs=1e-6)


def test_maximum_steps_counts_over_all_epochs() -> None:
    office = Office(images(0, 1, 0, 1, 0))
    local = LocalSpec(optimizer=RATE, batch_size=2, epochs=3, maximum_steps=4)
    assert office.weights(local=local)["body.0.num_batches_tracked"] == 4


def test_the_proximal_term_keeps_a_client_near_the_global_model() -> None:
    office = Office(images(0, 1, 0, 1), module=nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    local = LocalSpec(optimizer=RATE, epochs=20)

    def distance(mu: float) -> float:
        made = office.weights(local=local, mu=mu)
        return float(sum(np.square(made[n] - office.first[n]).sum() for n in made))

    assert distance(5.0) < 0.5 * distance(0.0)


def test_a_client_that_cannot_train_replies_with_an_error() -> None:
    office = Office(images())
    reply = office.turn()
    assert reply.has_error()
    assert reply.error.reason == "DataError: client client-0 has no samples"


def test_weights_of_another_model_are_an_error_reply() -> None:
    office = Office(images(0, 1))
    office.first["stranger"] = office.first.pop("body.3.bias")
    assert "ModelError: these are not the model's weights" in str(office.turn().error.reason)


def test_a_warm_model_takes_only_weights_that_fit() -> None:
    model = WarmModel(nn.Linear(2, 2))
    wrong = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    with pytest.raises(ModelError, match=r"'weight' is \[2, 3\], the model's is \[2, 2\]"):
        model.load(wrong)
    assert model.trained == {"weight", "bias"}


def test_frozen_parameters_and_buffers_are_not_trained() -> None:
    module = Counted()
    module.body[3].bias.requires_grad_(False)  # type: ignore[union-attr]
    assert WarmModel(module).trained == {"body.0.weight", "body.0.bias", "body.3.weight"}


def test_messages_pushed_are_answered_once_when_they_are_pulled() -> None:
    office = Office(images(0, 1))
    content = RecordDict(
        {"arrays": encode(office.first), Orders.KEY: Orders(1, 0, LocalSpec()).to_record()}
    )
    sent = [office.grid.create_message(content, "train", 1, "1")]
    numbers = list(office.grid.push_messages(sent))
    replies = list(office.grid.pull_messages(numbers))
    assert [it.metadata.src_node_id for it in replies] == [1]
    assert [it.metadata.reply_to_message_id for it in replies] == numbers
    assert list(office.grid.pull_messages(numbers)) == []
