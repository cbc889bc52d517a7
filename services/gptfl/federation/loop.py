"""The rounds around a strategy: select, send, check, aggregate, judge, commit.

Flower's own `Strategy.start` cannot be resumed, keeps every reply until the round is over and ends
with the first wrong one. Here a round is a function from one state to the next, and the state is
all that has to be kept.
"""

import random
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from gptfl.errors import GPTFLError, StageError
from gptfl.federation.arrays import Weights, as_dtype, decode, encode
from gptfl.federation.flower import number_message
from gptfl.federation.grid import RoundGrid
from gptfl.federation.intake import Intake, TooFewRepliesError
from gptfl.federation.orders import Orders, task_name
from gptfl.federation.replies import payload_bytes
from gptfl.federation.results import RoundRecord
from gptfl.federation.selection import select
from gptfl.federation.state import FederationState
from gptfl.federation.strategy_state import capture, restore
from gptfl.seeds import derive_seed
from gptfl.spec.federation import LocalSpec
from gptfl.telemetry.context import about


@dataclass(frozen=True)
class Plan:
    """What all rounds have in common."""

    clients: tuple[str, ...]
    """Names; client i is node i + 1 of the grid."""
    samples: tuple[int, ...]
    """The most samples that each can have trained on; those with 0 are never selected."""
    per_round: int
    rounds: int
    minimum_replies: int
    local: LocalSpec
    trained: frozenset[str]
    """The weights that clients move; the others are buffers."""
    seed: int
    key: str
    """Of the artifact; tells this federation's tasks from those of any other."""
    timeout: float | None = None
    """Seconds after which a round goes on with the replies that it has; None waits for all."""


@dataclass(frozen=True)
class Judgement:
    """The global model on the test data."""

    accuracy: float
    loss: float


Judge = Callable[[Weights], Judgement]
Commit = Callable[[FederationState], None]


def begin(weights: Weights, strategy: Strategy, judge: Judge) -> FederationState:
    """The state before the first round."""
    judgement = judge(weights)
    record = RoundRecord(round=0, accuracy=judgement.accuracy, loss=_finite(judgement.loss))
    return FederationState(weights, (record,), capture(strategy))


def run_rounds(
    plan: Plan,
    grid: Grid,
    strategy: Strategy,
    state: FederationState,
    *,
    judge: Judge,
    commit: Commit,
    late_replies: Callable[[], int] = lambda: 0,
) -> FederationState:
    """Does the rounds that `state` lacks; `commit` gets the state after each.

    `late_replies` says how many replies have come so far when their round was over.
    Raises StageError when a strategy fails, when the model diverges, or when not one round had
    enough good replies.
    """
    restore(strategy, state.strategy)
    while state.round < plan.rounds:
        with about(round=state.round + 1):
            before = late_replies()
            state = next_round(plan, grid, strategy, state, judge)
            state = _with_late(state, late_replies() - before)
            commit(state)
    if not any(record.aggregated for record in state.records):
        refused = sum(sum(record.refused.values()) for record in state.records)
        raise StageError(
            f"none of {plan.rounds} rounds had {plan.minimum_replies} good replies "
            f"(spec.federation.minimumReplies); {refused} were refused"
            + (f", the last with: {state.complaint}" if state.complaint else "")
        )
    return state


def next_round(
    plan: Plan, grid: Grid, strategy: Strategy, state: FederationState, judge: Judge
) -> FederationState:
    """One round. With too few good replies, model and strategy stay as they were."""
    began = time.monotonic()
    number = state.round + 1
    able = [index for index, samples in enumerate(plan.samples) if samples]
    nodes = [index + 1 for index in select(able, plan.per_round, plan.seed, number)]
    bounds = {node: plan.samples[node - 1] for node in nodes}
    intake = Intake(state.weights, bounds, plan.trained, plan.minimum_replies, plan.clients)
    weights, bytes_sent = _train(plan, grid, strategy, state, intake)
    if weights is None:
        restore(strategy, state.strategy)
    judgement = judge(state.weights if weights is None else weights)
    record = RoundRecord(
        round=number,
        selected=tuple(plan.clients[node - 1] for node in nodes),
        replied=intake.replied,
        refused=dict(sorted(intake.refused.items())),
        aggregated=weights is not None,
        examples=intake.examples,
        train_loss=intake.mean_loss,
        train_accuracy=intake.mean_accuracy,
        accuracy=judgement.accuracy,
        loss=_finite(judgement.loss),
        gradient_diversity=intake.diversity.value,
        bytes_sent=bytes_sent,
        bytes_received=intake.bytes_received,
    )
    return replace(
        state,
        weights=state.weights if weights is None else weights,
        records=(*state.records, record),
        strategy=state.strategy if weights is None else capture(strategy),
        seconds=state.seconds + time.monotonic() - began,
        complaint=intake.complaint or state.complaint,
    )


def _train(
    plan: Plan, grid: Grid, strategy: Strategy, state: FederationState, intake: Intake
) -> tuple[Weights | None, int]:
    """The next global weights, or None when the round came to nothing; and the bytes sent."""
    number = state.round + 1
    view = RoundGrid(grid, list(intake.bounds))
    name = type(strategy).__name__
    try:
        with _seeded_globals(derive_seed(plan.seed, "strategy", number)):
            asked = strategy.configure_train(number, encode(state.weights), ConfigRecord(), view)
            messages = _ordered(asked, intake.bounds, name)
            what = f"{number}-{_checksum(state.weights):08x}"
            for message in messages:
                orders = Orders(number, _client_seed(plan, number, message), plan.local)
                message.content = RecordDict({**message.content, Orders.KEY: orders.to_record()})
                number_message(message, _task(plan, what, message))
            sent = sum(payload_bytes(message.content) for message in messages)
            replies = grid.send_and_receive(messages, timeout=plan.timeout)
            good = intake.good(replies, [message.metadata.dst_node_id for message in messages])
            arrays, _ = strategy.aggregate_train(number, good)
    except TooFewRepliesError:
        return None, sent
    except GPTFLError:
        raise
    except Exception as error:
        raise StageError(
            f"round {number}: the strategy {name} failed: {type(error).__name__}: {error}"
        ) from error
    if arrays is None or intake.replied < plan.minimum_replies:
        return None, sent
    return _conform(arrays, state.weights, number, name), sent


def _client_seed(plan: Plan, number: int, message: Message) -> int:
    """A client's own seed of a round, whoever else takes part."""
    return derive_seed(plan.seed, "client", plan.clients[message.metadata.dst_node_id - 1], number)


def _task(plan: Plan, what: str, message: Message) -> str:
    """A name for ever: who has done this task already, for an aggregator that was killed before
    it could commit the round, needs not do it again."""
    return task_name(plan.key, what, plan.clients[message.metadata.dst_node_id - 1])


def _checksum(weights: Weights) -> int:
    """Tells a round of an attempt that went otherwise (another store, a reply that was missed)
    from this one, for a client that still has its reply to that."""
    checksum = 0
    for values in weights.values():
        numbers = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        checksum = zlib.crc32(numbers.data, checksum)
    return checksum


def _ordered(messages: Iterable[Message], known: Iterable[int], strategy: str) -> list[Message]:
    """The strategy's messages in client order; it may leave clients out, and add none."""
    ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
    strangers = {message.metadata.dst_node_id for message in ordered} - set(known)
    if strangers:
        raise StageError(
            f"the strategy {strategy} sends to nodes {sorted(strangers)}, which are not in this "
            "round; it must ask its grid for the nodes"
        )
    return ordered


def _conform(arrays: ArrayRecord, like: Weights, number: int, strategy: str) -> Weights:
    """What a strategy returned, in the model's own types of number.

    Server optimisers compute in float64, and a median of integers is none.
    """
    made = decode(arrays)
    if list(made) != list(like) or any(made[name].shape != like[name].shape for name in like):
        raise StageError(
            f"round {number}: the strategy {strategy} returned weights of other names or shapes "
            "than the model's; it must return what it was given"
        )
    weights = {name: as_dtype(values, like[name].dtype) for name, values in made.items()}
    if not all(np.isfinite(values).all() for values in weights.values()):
        raise StageError(
            f"round {number}: the global model has diverged (weights that are not finite); lower "
            "spec.federation.local.optimizer.learningRate or strategy.serverLearningRate"
        )
    return weights


@contextmanager
def _seeded_globals(seed: int) -> Iterator[None]:
    """Fixes the global random state that strategies draw from, and puts it back.

    Flower's own sample with `random` and add noise with `numpy.random`.
    """
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _with_late(state: FederationState, late: int) -> FederationState:
    if not late:
        return state
    last = state.records[-1].model_copy(update={"late": late})
    return replace(state, records=(*state.records[:-1], last))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
