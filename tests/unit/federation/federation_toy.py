"""A federation of the smallest kind: clients that pull two numbers towards their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from gptfl.federation.arrays import Weights, decode, encode
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.loop import Judgement, Plan
from gptfl.federation.orders import Orders
from gptfl.spec.federation import LocalSpec

GOALS = {"a": (1.0, 0.0), "b": (3.0, 4.0), "c": (5.0, -4.0), "d": (3.0, 1.0)}
"""What each client wants the model to be."""

FIRST: dict[str, NDArray[Any]] = {
    "point": np.zeros(2, np.float32),
    "steps": np.zeros((), np.int64),
}
"""Two parameters and, as batch normalisation has, an integer buffer."""


@dataclass
class Toy:
    """The clients by name; client i holds (i + 1) * 10 samples and goes halfway to its goal."""

    names: Sequence[str] = tuple(GOALS)
    goals: Mapping[str, tuple[float, float]] = field(default_factory=lambda: GOALS)
    spoil: Callable[[str, int, RecordDict], RecordDict] = lambda name, number, content: content
    """Turns the reply of a client in a round into another; may raise."""
    calls: list[tuple[int, str, int]] = field(default_factory=list)
    """Round, name and seed of each turn."""

    def samples(self, name: str) -> int:
        return 10 * (self.names.index(name) + 1)

    def grid(self) -> InProcessGrid:
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            name = self.names[context.node_id - 1]
            orders = Orders.of(message.content)
            self.calls.append((orders.round, name, orders.seed))
            weights = decode(next(iter(message.content.array_records.values())))
            content = self.reply(name, weights)
            return Message(self.spoil(name, orders.round, content), reply_to=message)

        return InProcessGrid(app, range(1, len(self.names) + 1))

    def reply(self, name: str, weights: Weights) -> RecordDict:
        goal = np.array(self.goals[name], np.float32)
        point = weights["point"] + (goal - weights["point"]) / np.float32(2)
        metrics = {
            "num-examples": self.samples(name),
            "train-loss": float(np.square(goal - weights["point"]).sum()),
            "train-accuracy": 0.5,
        }
        made = {"point": point, "steps": weights["steps"] + self.samples(name)}
        return RecordDict({"arrays": encode(made), "metrics": MetricRecord(dict(metrics))})

    def plan(self, *, rounds: int, per_round: int | None = None, minimum: int = 1) -> Plan:
        return Plan(
            clients=tuple(self.names),
            samples=tuple(map(self.samples, self.names)),
            per_round=per_round or len(self.names),
            rounds=rounds,
            minimum_replies=minimum,
            local=LocalSpec(),
            trained=frozenset({"point"}),
            seed=7,
            key="toy",
        )


def judge(weights: Weights) -> Judgement:
    """The farther from the mean of all goals, the worse."""
    distance = float(np.square(weights["point"] - np.mean(list(GOALS.values()), axis=0)).sum())
    return Judgement(1 / (1 + distance), distance)


def same(one: Weights, other: Weights) -> bool:
    """Whether two models have the same bits."""
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def spoiling(changes: Mapping[tuple[str, int], Callable[[RecordDict], RecordDict]]) -> Any:
    """A `spoil` that changes the replies of some clients in some rounds."""

    def spoil(name: str, number: int, content: RecordDict) -> RecordDict:
        change = changes.get((name, number), lambda unchanged: unchanged)
        return change(content)

    return spoil
