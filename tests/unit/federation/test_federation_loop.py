"""A round is a function from one state to the next, whatever clients do and whoever is killed."""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from federation_toy import FIRST, GOALS, Toy, judge, same, spoiling
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from gptfl.errors import StageError, StoreError
from gptfl.federation.arrays import encode
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.loop import Judgement, Plan, begin, run_rounds
from gptfl.federation.results import Refusal
from gptfl.federation.selection import select
from gptfl.federation.state import FederationState
from gptfl.federation.strategies import make_strategy
from gptfl.spec.federation import StrategyName, StrategySpec


def federate(
    toy: Toy,
    plan: Plan,
    strategy: Strategy | None = None,
    state: FederationState | None = None,
    commit: Callable[[FederationState], None] = lambda _: None,
) -> FederationState:
    strategy = strategy or make_strategy(StrategySpec())
    state = state or begin(FIRST, strategy, judge)
    return run_rounds(plan, toy.grid(), strategy, state, judge=judge, commit=commit)


def test_two_clients_and_one_round_by_hand() -> None:
    toy = Toy(names=("a", "b"))
    state = federate(toy, toy.plan(rounds=1))
    # a (10 samples) goes to (0.5, 0), b (20 samples) to (1.5, 2): a third of one, two of the other.
    assert state.weights["point"] == pytest.approx([3.5 / 3, 4 / 3])
    assert state.weights["point"].dtype == np.float32
    assert state.weights["steps"] == round((10 * 10 + 20 * 20) / 30)
    record = state.records[1]
    assert (record.round, record.selected, record.replied) == (1, ("a", "b"), 2)
    assert (record.refused, record.aggregated, record.examples) == ({}, True, 30)
    assert record.train_loss == pytest.approx((10 * 1 + 20 * 25) / 30)
    assert record.train_accuracy == 0.5
    assert record.gradient_diversity == pytest.approx((0.25 + 6.25) / (4 + 4))
    assert record.bytes_sent > record.bytes_received > 0


def test_round_0_is_the_model_before_any_client_has_seen_it() -> None:
    toy = Toy()
    record = federate(toy, toy.plan(rounds=1)).records[0]
    assert (record.round, record.selected, record.aggregated) == (0, (), False)
    assert record.accuracy == judge(FIRST).accuracy


def test_only_the_selected_clients_are_called_in_client_order_with_seeds_of_their_own() -> None:
    toy = Toy()
    plan = toy.plan(rounds=5, per_round=2)
    state = federate(toy, plan)
    for number in range(1, 6):
        chosen = [plan.clients[index] for index in select(range(4), 2, plan.seed, number)]
        assert [name for round_number, name, _ in toy.calls if round_number == number] == chosen
        assert list(state.records[number].selected) == chosen
    seeds = [seed for _, _, seed in toy.calls]
    assert len(set(seeds)) == len(seeds) == 10


def test_the_global_random_state_has_no_say_and_is_left_as_it_was() -> None:
    ends = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist()
        ends.append(federate(toy := Toy(), toy.plan(rounds=3, per_round=2)).weights)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert same(*ends)


class Noisy(FedAvg):
    """Draws from both global generators, as Flower's own strategies do."""

    def __init__(self) -> None:
        super().__init__(min_train_nodes=1, min_available_nodes=1)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        _, metrics = super().aggregate_train(server_round, replies)
        noise = np.float32(np.random.normal() + random.random())
        return encode({**FIRST, "point": FIRST["point"] + noise}), metrics


def test_a_strategy_that_draws_from_the_global_state_is_reproducible_too() -> None:
    def end(rounds: int, state: FederationState | None = None) -> FederationState:
        return federate(toy := Toy(), toy.plan(rounds=rounds), Noisy(), state)

    assert same(end(3).weights, end(3, end(1)).weights)
    assert not same(end(3).weights, end(2).weights)


def test_a_client_without_samples_is_never_selected() -> None:
    toy = Toy()
    plan = toy.plan(rounds=10, per_round=2)
    plan = Plan(**{**vars(plan), "samples": (10, 0, 30, 40)})
    state = federate(toy, plan)
    assert {name for _, name, _ in toy.calls} == {"a", "c", "d"}
    assert all(len(record.selected) == 2 for record in state.records[1:])


def nan(content: RecordDict) -> RecordDict:
    broken = encode({**FIRST, "point": np.array([np.nan, 0], np.float32)})
    return RecordDict({**content, "arrays": broken})


def boast(content: RecordDict) -> RecordDict:
    metrics = dict(content.metric_records["metrics"]) | {"num-examples": 10**9}
    return RecordDict({**content, "metrics": MetricRecord(metrics)})


def fail(content: RecordDict) -> RecordDict:
    raise OSError("the disk is gone")


def test_wrong_replies_are_refused_counted_and_the_round_goes_on() -> None:
    spoilt = Toy(spoil=spoiling({("a", 1): nan, ("b", 1): fail, ("c", 1): boast}))
    state = federate(spoilt, spoilt.plan(rounds=1))
    record = state.records[1]
    assert record.refused == {Refusal.NOT_FINITE: 1, Refusal.ERROR: 1, Refusal.EXAMPLES: 1}
    assert (record.replied, record.examples, record.aggregated) == (1, 40, True)
    assert state.weights["point"].tolist() == [1.5, 0.5]
    honest = Toy()
    # What a, c and d sent is counted; b's failure has no payload.
    assert record.bytes_received == (
        federate(honest, honest.plan(rounds=1)).records[1].bytes_received * 3 // 4
    )


def with_metric(name: str, value: float) -> Callable[[RecordDict], RecordDict]:
    def change(content: RecordDict) -> RecordDict:
        metrics = dict(content.metric_records["metrics"]) | {name: value}
        return RecordDict({**content, "metrics": MetricRecord(metrics)})

    return change


def renamed(content: RecordDict) -> RecordDict:
    return RecordDict({"mine": content["metrics"], "own": content["arrays"]})


@pytest.mark.parametrize("strategy", [StrategyName.FED_AVG, StrategyName.FED_MEDIAN])
@pytest.mark.parametrize("change", [with_metric("more", 1.0), renamed])
def test_what_a_reply_holds_beside_what_was_asked_for_ends_no_run(
    strategy: StrategyName, change: Callable[[RecordDict], RecordDict]
) -> None:
    """Flower's strategies that read all replies raise when the records of one are named apart."""
    odd, honest = Toy(spoil=spoiling({("b", 1): change})), Toy()
    spec = StrategySpec(name=strategy)
    with_it = federate(odd, odd.plan(rounds=1), make_strategy(spec))
    without = federate(honest, honest.plan(rounds=1), make_strategy(spec))
    assert with_it.records[1].replied == 4
    assert same(with_it.weights, without.weights)


def test_a_loss_beyond_all_bounds_ends_no_run() -> None:
    toy = Toy(spoil=spoiling({("b", 1): with_metric("train-loss", 1.7e308)}))
    state = federate(toy, toy.plan(rounds=2))
    assert [record.train_loss is None for record in state.records] == [True, True, False]
    assert FederationState.from_bytes(state.to_bytes()).records == state.records


def test_a_refused_reply_leaves_no_trace_in_the_model() -> None:
    three = Toy(names=("a", "b", "d"))
    four = Toy(names=("a", "b", "c", "d"), spoil=spoiling({("c", 1): nan}))
    three.samples = four.samples  # type: ignore[method-assign]
    ends = [federate(toy, toy.plan(rounds=1)) for toy in (three, four)]
    assert same(ends[0].weights, ends[1].weights)
    assert ends[0].records[1].gradient_diversity == ends[1].records[1].gradient_diversity


@pytest.mark.parametrize(
    "name", [StrategyName.FED_AVG, StrategyName.FED_AVG_M, StrategyName.FED_ADAM, StrategyName.KRUM]
)
def test_a_round_with_too_few_replies_leaves_model_and_strategy_as_they_were(
    name: StrategyName,
) -> None:
    spec = StrategySpec(name=name)
    states: list[FederationState] = []
    toy = Toy(spoil=spoiling({(client, 2): nan for client in "abc"}))
    state = federate(toy, toy.plan(rounds=3, minimum=2), make_strategy(spec), commit=states.append)
    record = state.records[2]
    assert (record.aggregated, record.replied) == (False, 1)
    assert record.refused == {Refusal.NOT_FINITE: 3}
    assert record.accuracy == state.records[1].accuracy
    assert same(states[0].weights, states[1].weights)
    assert states[0].strategy == states[1].strategy
    assert state.records[3].aggregated


def test_no_good_round_at_all_is_an_error_that_says_what_the_clients_said() -> None:
    toy = Toy(spoil=spoiling({(name, number): fail for name in GOALS for number in (1, 2)}))
    with pytest.raises(StageError, match=r"minimumReplies.*8 were refused.*the disk is gone"):
        federate(toy, toy.plan(rounds=2))


class Killed(BaseException):
    """As KeyboardInterrupt: nothing may catch it."""


@pytest.mark.parametrize("name", [StrategyName.FED_AVG, StrategyName.FED_YOGI])
@pytest.mark.parametrize("moment", range(1, 6))
def test_killed_after_or_in_any_round_and_resumed_ends_with_the_same_bits(
    name: StrategyName, moment: int
) -> None:
    spec, rounds = StrategySpec(name=name), 5
    whole = federate(toy := Toy(), toy.plan(rounds=rounds, per_round=3), make_strategy(spec))
    kept: list[bytes] = []

    def die(client: str, number: int, content: RecordDict) -> RecordDict:
        if number == moment and len(toy.calls) % 3 == 2:
            raise Killed
        return content

    toy = Toy(spoil=die)
    plan = toy.plan(rounds=rounds, per_round=3)
    strategy = make_strategy(spec)
    kept.append(begin(FIRST, strategy, judge).to_bytes())
    with pytest.raises(Killed):
        federate(toy, plan, strategy, commit=lambda state: kept.append(state.to_bytes()))
    assert len(kept) == moment
    toy = Toy()
    resumed = FederationState.from_bytes(kept[-1])
    state = federate(toy, plan, make_strategy(spec), resumed)
    assert {number for number, _, _ in toy.calls} == set(range(moment, rounds + 1))
    assert same(whole.weights, state.weights)
    assert whole.records == state.records


def test_a_finished_federation_has_nothing_to_do() -> None:
    done = federate(toy := Toy(), toy.plan(rounds=2))
    again = Toy()
    assert federate(again, again.plan(rounds=2), state=done) == done
    assert again.calls == []


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x00" * 100])
def test_a_damaged_checkpoint_is_named(data: bytes) -> None:
    with pytest.raises(StoreError, match="checkpoint of a federation is damaged"):
        FederationState.from_bytes(data)


def test_a_loss_that_is_not_finite_is_kept_as_none() -> None:
    strategy = make_strategy(StrategySpec())
    state = begin(FIRST, strategy, lambda _: Judgement(0.1, float("inf")))
    assert state.records[0].loss is None
    assert FederationState.from_bytes(state.to_bytes()).records == state.records


class Misbehaving(FedAvg):
    """Does one thing that a strategy must not do."""

    def __init__(self, fault: str) -> None:
        super().__init__(min_train_nodes=1, min_available_nodes=2 if fault == "waits" else 1)
        self.fault = fault

    def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
        if self.fault == "stranger":
            content = RecordDict({"arrays": arrays, "config": ConfigRecord()})
            return [Message(content, 99, "train")]
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        if self.fault == "raises":
            raise ZeroDivisionError("division by zero")
        if self.fault == "renames":
            return encode({"other": FIRST["point"]}), metrics
        if self.fault == "diverges":
            return encode({**FIRST, "point": np.array([1e300, 0])}), metrics
        return arrays, metrics


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "round 1: the strategy Misbehaving failed: ZeroDivisionError: division by zero"),
        ("renames", "returned weights of other names or shapes"),
        ("diverges", "the global model has diverged"),
        ("stranger", r"sends to nodes \[99\], which are not in this round"),
        ("waits", "waits for more clients than the 1 of a round"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_what_a_strategy_does_wrong_is_one_clear_line(
    fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.serverapp.strategy.strategy_utils.sleep", lambda seconds: None)
    toy = Toy()
    with pytest.raises(StageError, match=message) as caught:
        federate(toy, toy.plan(rounds=1, per_round=1), Misbehaving(fault))
    assert "\n" not in str(caught.value)


def test_a_strategy_may_leave_selected_clients_out() -> None:
    half = FedAvg(fraction_train=0.5, min_train_nodes=1, min_available_nodes=1)
    ends = []
    for seed in (1, 2):
        random.seed(seed)
        toy = Toy()
        ends.append(federate(toy, toy.plan(rounds=2), half).records)
        assert len(toy.calls) == 4
    assert ends[0] == ends[1]
    assert ends[0][1].replied == 2
    assert ends[0][1].refused == {}


class Recording(InProcessGrid):
    """A grid that keeps what it was asked."""

    asked: list[tuple[str, float | None]]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        asked = list(messages)
        self.asked += [(message.metadata.message_id, timeout) for message in asked]
        return super().send_and_receive(asked)


def recorded(plan: Plan, state: FederationState | None = None) -> list[tuple[str, float | None]]:
    grid = Toy().grid()
    grid.__class__ = Recording
    assert isinstance(grid, Recording)
    grid.asked = []
    strategy = make_strategy(StrategySpec())
    state = state or begin(FIRST, strategy, judge)
    run_rounds(plan, grid, strategy, state, judge=judge, commit=lambda _: None)
    return grid.asked


def test_a_task_has_the_same_name_in_any_attempt_and_the_deadline_of_the_round() -> None:
    plan = replace(Toy().plan(rounds=2, per_round=2), timeout=7.5)
    asked = recorded(plan)
    assert recorded(plan) == asked
    assert {timeout for _, timeout in asked} == {7.5}
    names = [name for name, _ in asked]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"toy/[12]-[0-9a-f]{8}/[abcd]", name) for name in names)


def test_a_round_from_other_weights_is_another_task() -> None:
    plan, strategy = Toy().plan(rounds=1), make_strategy(StrategySpec())
    other = begin({**FIRST, "point": np.ones(2, np.float32)}, strategy, judge)
    assert {name for name, _ in recorded(plan)}.isdisjoint(
        name for name, _ in recorded(plan, other)
    )


def test_late_replies_count_in_the_round_in_which_they_come() -> None:
    toy, strategy = Toy(), make_strategy(StrategySpec())
    counts = iter([0, 0, 0, 2, 2, 3])
    state = run_rounds(
        toy.plan(rounds=3),
        toy.grid(),
        strategy,
        begin(FIRST, strategy, judge),
        judge=judge,
        commit=lambda _: None,
        late_replies=lambda: next(counts),
    )
    assert [record.late for record in state.records] == [0, 0, 2, 1]
