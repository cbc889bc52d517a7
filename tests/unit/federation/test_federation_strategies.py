"""Each strategy by its name, in numbers; and what it remembers survives a restart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_toy import FIRST, Toy, judge, same
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, Strategy

from gptfl.errors import SpecError
from gptfl.federation.arrays import decode, encode
from gptfl.federation.flower import become_server
from gptfl.federation.loop import begin, next_round, run_rounds
from gptfl.federation.state import FederationState
from gptfl.federation.strategies import make_strategy
from gptfl.federation.strategy_state import capture, restore
from gptfl.spec.federation import StrategyName, StrategySpec, Weighting

SPECS = {
    name: StrategySpec(name=name, server_learning_rate=rate, server_momentum=0.5)
    for name, rate in {
        StrategyName.FED_AVG: None,
        StrategyName.FED_PROX: None,
        StrategyName.FED_ADAM: 0.3,
        StrategyName.FED_YOGI: 0.3,
        StrategyName.FED_AVG_M: 0.5,
        StrategyName.FED_MEDIAN: None,
        StrategyName.FED_TRIMMED_AVG: None,
        StrategyName.KRUM: None,
    }.items()
}


def replies(*points: tuple[float, float], examples: tuple[int, ...] = ()) -> list[Message]:
    become_server()
    counts = examples or (1,) * len(points)
    return [
        Message(
            RecordDict(
                {
                    "arrays": encode(
                        {
                            "point": np.array(point, np.float32),
                            "steps": np.array(count, np.int64),
                        }
                    ),
                    "metrics": MetricRecord({"num-examples": count, "train-loss": point[0]}),
                }
            ),
            reply_to=Message(RecordDict(), node + 1, "train"),
        )
        for node, (point, count) in enumerate(zip(points, counts, strict=True))
    ]


def aggregate(spec: StrategySpec, messages: list[Message]) -> tuple[dict[str, Any], Any]:
    arrays, metrics = make_strategy(spec).aggregate_train(1, iter(messages))
    assert arrays is not None
    return decode(arrays), metrics


def test_fedavg_is_the_mean_weighted_by_samples() -> None:
    made, metrics = aggregate(StrategySpec(), replies((1, 2), (5, 6), examples=(30, 10)))
    assert made["point"].tolist() == [2.0, 3.0]
    assert made["point"].dtype == np.float32
    assert metrics["train-loss"] == 2.0


def test_uniform_weighting_counts_each_client_the_same() -> None:
    spec = StrategySpec(weighting=Weighting.UNIFORM)
    made, _ = aggregate(spec, replies((1, 2), (5, 6), examples=(30, 10)))
    assert made["point"].tolist() == [3.0, 4.0]


def test_the_mean_of_integer_buffers_is_an_integer() -> None:
    made, _ = aggregate(StrategySpec(), replies((0, 0), (0, 0), examples=(30, 10)))
    assert made["steps"].dtype == np.int64
    assert made["steps"] == 25


def test_the_mean_of_one_client_is_that_client_to_the_bit() -> None:
    odd = (float(np.float32(0.1)), float(np.float32(1e-30)))
    made, _ = aggregate(StrategySpec(), replies(odd, examples=(12345,)))
    assert made["point"].tolist() == list(odd)


def test_fedavg_gives_what_flowers_own_gives() -> None:
    generator = np.random.default_rng(0)
    points = [tuple(generator.normal(size=2)) for _ in range(20)]
    counts = tuple(generator.integers(1, 100, 20).tolist())
    ours, _ = aggregate(StrategySpec(), replies(*points, examples=counts))
    theirs, _ = FedAvg().aggregate_train(1, replies(*points, examples=counts))
    assert theirs is not None
    assert ours["point"] == pytest.approx(decode(theirs)["point"], rel=1e-6)


def test_a_mean_holds_one_reply_at_a_time() -> None:
    taken: list[int] = []

    def coming() -> Any:
        for index, message in enumerate(replies((1, 1), (2, 2), (3, 3))):
            taken.append(index)
            yield message
            # Once the next is asked for, nobody may want this one again.
            message.content = RecordDict()

    arrays, _ = make_strategy(StrategySpec()).aggregate_train(1, coming())
    assert arrays is not None
    assert taken == [0, 1, 2]
    assert decode(arrays)["point"].tolist() == [2.0, 2.0]


def test_no_reply_is_no_model() -> None:
    assert make_strategy(StrategySpec()).aggregate_train(1, iter([])) == (None, None)


def test_the_median_and_the_trimmed_mean_ignore_one_that_lies() -> None:
    honest = [(1, 1), (2, 2), (3, 3), (4, 4)]
    lie = (1e6, -1e6)
    median, _ = aggregate(SPECS[StrategyName.FED_MEDIAN], replies(*honest, lie))
    assert median["point"].tolist() == [3.0, 2.0]
    trimmed, _ = aggregate(SPECS[StrategyName.FED_TRIMMED_AVG], replies(*honest, lie))
    assert trimmed["point"].tolist() == [3.0, 2.0]


def test_krum_takes_the_one_that_is_nearest_to_the_others() -> None:
    spec = StrategySpec(name=StrategyName.KRUM, malicious_clients=1)
    made, _ = aggregate(spec, replies((0, 0), (1, 0), (2, 0), (1, 1), (900, 900)))
    assert made["point"].tolist() == [1.0, 0.0]


def test_momentum_of_the_server_by_hand() -> None:
    spec = StrategySpec(name=StrategyName.FED_AVG_M, server_learning_rate=1.0, server_momentum=0.5)
    toy = Toy(names=("a",))
    state = begin(FIRST, make_strategy(spec), judge)
    state = run_rounds(
        toy.plan(rounds=2),
        toy.grid(),
        make_strategy(spec),
        state,
        judge=judge,
        commit=lambda _: None,
    )
    # Round 1 goes 0 → 0.5; round 2 would go 0.25 further and adds half of the step before.
    assert state.weights["point"].tolist() == [1.0, 0.0]


def test_fedprox_tells_the_clients_its_pull() -> None:
    strategy = make_strategy(StrategySpec(name=StrategyName.FED_PROX, proximal_mu=0.3))
    sent: list[float] = []
    toy = Toy(names=("a",))
    grid = toy.grid()
    answer = grid.send_and_receive

    def listen(messages: Any, *, timeout: float | None = None) -> Any:
        sent.extend(message.content["config"]["proximal-mu"] for message in messages)
        return answer(messages, timeout=timeout)

    grid.send_and_receive = listen  # type: ignore[method-assign]
    next_round(toy.plan(rounds=1), grid, strategy, begin(FIRST, strategy, judge), judge)
    assert sent == [0.3]


def after(spec: StrategySpec, rounds: int, state: FederationState | None = None) -> FederationState:
    """The toy after `rounds`, by a new strategy and a new grid; through bytes where it resumes."""
    toy = Toy()
    strategy = make_strategy(spec)
    if state is None:
        state = begin(FIRST, strategy, judge)
    resumed = FederationState.from_bytes(state.to_bytes())
    plan = toy.plan(rounds=rounds, per_round=3)
    return run_rounds(plan, toy.grid(), strategy, resumed, judge=judge, commit=lambda _: None)


@pytest.mark.parametrize("name", SPECS)
def test_each_strategy_moves_the_model_towards_the_clients(name: StrategyName) -> None:
    agreed = {"a": (3.1, 0.3), "b": (2.9, 0.3), "c": (3.0, 0.2), "d": (3.0, 0.1)}
    toy = Toy(goals=agreed)
    strategy = make_strategy(SPECS[name])
    state = begin(FIRST, strategy, judge)
    plan = toy.plan(rounds=8, per_round=3)
    state = run_rounds(plan, toy.grid(), strategy, state, judge=judge, commit=lambda _: None)
    losses = [record.loss or 0.0 for record in state.records]
    assert losses[0] == pytest.approx(9.0625)
    assert losses[-1] < 2


@pytest.mark.parametrize("name", SPECS)
def test_two_rounds_and_two_more_are_four_to_the_bit(name: StrategyName) -> None:
    spec = SPECS[name]
    once, twice = after(spec, 4), after(spec, 4, after(spec, 2))
    assert same(once.weights, twice.weights)
    assert once.records == twice.records
    assert once.strategy.outline == twice.strategy.outline
    assert same(once.strategy.arrays, twice.strategy.arrays)


def test_adam_without_its_memory_would_go_elsewhere() -> None:
    spec = SPECS[StrategyName.FED_ADAM]
    halfway = after(spec, 2)
    forgetful = FederationState(halfway.weights, halfway.records, capture(make_strategy(spec)))
    assert not same(after(spec, 4).weights, after(spec, 4, forgetful).weights)


class Odd(FedAvg):
    """A strategy that remembers one thing of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: dict[str, Any] = {}
        self.inner = FedAdam()


def test_memory_of_every_kind_comes_back() -> None:
    before = Odd()
    before.memory = {
        "numbers": [1, 2.5, True, None, "text"],
        "pair": (np.arange(3), {"deep": np.float32(0.1)}),
        "empty": {},
    }
    before.inner.m_t = {"w": np.ones(2)}
    before.record = encode(FIRST)  # type: ignore[attr-defined]
    after = Odd()
    restore(after, capture(before))
    assert after.memory["numbers"] == [1, 2.5, True, None, "text"]
    assert isinstance(after.memory["pair"], tuple)
    assert after.memory["pair"][0].tolist() == [0, 1, 2]
    assert after.memory["pair"][1] == {"deep": np.float32(0.1)}
    assert after.memory["pair"][1]["deep"].dtype == np.float32
    assert after.memory["empty"] == {}
    assert after.inner.m_t is not None
    assert after.inner.m_t["w"].tolist() == [1, 1]
    assert isinstance(after.record, ArrayRecord)  # type: ignore[attr-defined]
    assert same(decode(after.record), FIRST)  # type: ignore[attr-defined]


def test_what_was_not_there_is_forgotten() -> None:
    before, after = Odd(), Odd()
    after.late = np.ones(3)  # type: ignore[attr-defined]
    restore(after, capture(before))
    assert not hasattr(after, "late")


def test_a_captured_memory_does_not_change_with_its_strategy() -> None:
    strategy = Odd()
    strategy.memory = {"sum": np.zeros(2)}
    state = capture(strategy)
    strategy.memory["sum"] += 1
    restore(strategy, state)
    assert strategy.memory["sum"].tolist() == [0, 0]
    strategy.memory["sum"] += 1
    restore(strategy, state)
    assert strategy.memory["sum"].tolist() == [0, 0]


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["a"]), [object()]])
def test_memory_that_no_checkpoint_can_hold_is_named(value: Any) -> None:
    strategy = Odd()
    strategy.memory = {"it": value}
    with pytest.raises(SpecError, match=r"^spec\.federation\.strategy: Odd\.memory "):
        capture(strategy)


MODULE = """
from flwr.serverapp.strategy import FedAvg

class Doubling(FedAvg):
    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        return arrays, metrics

def make(spec):
    return Doubling(min_train_nodes=1, min_available_nodes=1)

def wrong(spec):
    return "a strategy"

def failing(spec):
    raise ValueError("no luck")
"""


def custom(function: str) -> StrategySpec:
    return StrategySpec(name=StrategyName.CUSTOM, function=function)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the folder of the run's file, which the engine puts on the path."""
    (tmp_path / "my_strategies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("beside")
def test_a_strategy_of_the_users_own_is_used() -> None:
    strategy = make_strategy(custom("my_strategies:make"))
    assert isinstance(strategy, Strategy)
    assert type(strategy).__name__ == "Doubling"
    assert after(custom("my_strategies:make"), 3).records[-1].aggregated


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("my_strategies:none", "module 'my_strategies' has no function 'none'"),
        ("no_such_module:make", "cannot be imported .*; put the module beside the run's file"),
        ("my_strategies:wrong", "returned a str; it must return a flwr.serverapp.strategy"),
        ("my_strategies:failing", "raised ValueError: no luck"),
    ],
)
def test_a_strategy_that_cannot_be_had_is_one_clear_line(function: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        make_strategy(custom(function))
    assert str(caught.value).startswith("spec.federation.strategy.function: ")
    assert "\n" not in str(caught.value)


def test_flower_writes_nothing_to_the_terminal(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    after(StrategySpec(name=StrategyName.FED_PROX, proximal_mu=0.0), 1)
    assert capfd.readouterr() == ("", "")
    assert [record.levelname for record in caplog.records if record.name == "flwr"] == ["WARNING"]
