"""No reply reaches a strategy unless it is what was asked for; none can stop the server."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from federation_toy import FIRST, Toy
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from gptfl.federation.arrays import encode
from gptfl.federation.flower import NoReply, become_server, error_reply, no_reply
from gptfl.federation.replies import Update, examine, in_order, payload_bytes
from gptfl.federation.results import Refusal

MOST = 20


def message(node: int = 1) -> Message:
    become_server()
    return Message(RecordDict(), node, "train")


def reply(content: RecordDict, node: int = 1) -> Message:
    return Message(content, reply_to=message(node))


def good() -> RecordDict:
    return Toy().reply("b", FIRST)


def with_metrics(**changes: Any) -> RecordDict:
    content = good()
    metrics = dict(content.metric_records["metrics"]) | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    kept = {name: value for name, value in metrics.items() if value is not None}
    return RecordDict({**content, "metrics": MetricRecord(kept)})


def with_arrays(**changes: Any) -> RecordDict:
    return RecordDict({**good(), "arrays": encode({**FIRST, **changes})})


def test_a_good_reply_is_an_update() -> None:
    update = examine(reply(good()), FIRST, MOST)
    assert isinstance(update, Update)
    assert update.weights["point"].tolist() == [1.5, 2.0]
    assert (update.examples, update.train_loss, update.train_accuracy) == (20, 25.0, 0.5)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (RecordDict(), Refusal.MALFORMED),
        (RecordDict({"arrays": encode(FIRST)}), Refusal.MALFORMED),
        (RecordDict({**good(), "more": encode(FIRST)}), Refusal.MALFORMED),
        (RecordDict({**good(), "more": MetricRecord({"num-examples": 1})}), Refusal.MALFORMED),
        (with_metrics(num_examples=None), Refusal.MALFORMED),
        (with_metrics(num_examples=2.0), Refusal.MALFORMED),
        (with_metrics(num_examples=[2]), Refusal.MALFORMED),
        (with_metrics(train_loss=[2.0]), Refusal.MALFORMED),
        (with_metrics(train_loss=None), Refusal.MALFORMED),
        (with_metrics(train_accuracy=None), Refusal.MALFORMED),
        (with_metrics(num_examples=0), Refusal.EXAMPLES),
        (with_metrics(num_examples=-3), Refusal.EXAMPLES),
        (with_metrics(num_examples=MOST + 1), Refusal.EXAMPLES),
        (with_metrics(train_loss=float("nan")), Refusal.NOT_FINITE),
        (with_metrics(other=[1.0, float("inf")]), Refusal.NOT_FINITE),
        (RecordDict({**good(), "arrays": ArrayRecord()}), Refusal.NAMES),
        (with_arrays(extra=np.zeros(1)), Refusal.NAMES),
        (with_arrays(point=np.zeros(3, np.float32)), Refusal.SHAPE),
        (with_arrays(point=np.zeros((2, 1), np.float32)), Refusal.SHAPE),
        (with_arrays(point=np.zeros(2, np.float64)), Refusal.DTYPE),
        (with_arrays(steps=np.zeros((), np.float32)), Refusal.DTYPE),
        (with_arrays(point=np.array([0, np.nan], np.float32)), Refusal.NOT_FINITE),
        (with_arrays(point=np.array([np.inf, 0], np.float32)), Refusal.NOT_FINITE),
    ],
)
def test_a_wrong_reply_is_refused_with_a_reason(content: RecordDict, refusal: Refusal) -> None:
    assert examine(reply(content), FIRST, MOST) is refusal


def test_a_clients_failure_is_refused_as_an_error() -> None:
    assert examine(error_reply("out of memory", message()), FIRST, MOST) is Refusal.ERROR


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (NoReply.STRAGGLER, Refusal.STRAGGLER),
        (NoReply.DISCONNECTED, Refusal.DISCONNECTED),
        (NoReply.TOO_LARGE, Refusal.TOO_LARGE),
        (NoReply.MALFORMED, Refusal.MALFORMED),
    ],
)
def test_why_a_grid_has_no_reply_is_the_reason(code: NoReply, refusal: Refusal) -> None:
    become_server()
    asked = Message(RecordDict(), 1, "train")
    assert examine(no_reply(code, "so", asked), FIRST, 10) is refusal


def test_bytes_that_are_not_what_they_say_are_refused() -> None:
    content = good()
    content.array_records["arrays"]["point"] = Array("float32", (2,), "numpy.ndarray", b"\x93NUMPY")
    assert examine(reply(content), FIRST, MOST) is Refusal.MALFORMED


SCALARS = st.integers(-(2**63), 2**63 - 1) | st.floats()
NAMES = st.sampled_from(["num-examples", "train-loss", "train-accuracy", "other"])
METRICS = st.dictionaries(NAMES, SCALARS | st.lists(st.floats(), min_size=1, max_size=3))
SHAPES = st.lists(st.integers(-1, 3), max_size=2).map(tuple)
DATA = st.binary(max_size=200) | st.just(Array(np.zeros(2, np.float32)).data)
ARRAY = st.builds(
    Array,
    dtype=st.sampled_from(["float32", "int64", "object", "U3", "float33"]),
    shape=SHAPES,
    stype=st.sampled_from(["numpy.ndarray", "pickle"]),
    data=DATA,
)
RECORDS = st.one_of(
    METRICS.map(lambda values: MetricRecord(dict(values))),
    st.dictionaries(st.sampled_from(["point", "steps", "x"]), ARRAY).map(ArrayRecord),
    st.just(encode(FIRST)),
    st.just(ConfigRecord({"a": "b"})),
)


@given(st.dictionaries(st.sampled_from(["arrays", "metrics", "x"]), RECORDS))
def test_whatever_a_client_sends_the_check_gives_an_answer(records: dict[str, Any]) -> None:
    verdict = examine(reply(RecordDict(records)), FIRST, MOST)
    if isinstance(verdict, Update):
        assert 1 <= verdict.examples <= MOST
        assert list(verdict.weights) == list(FIRST)
        assert all(np.isfinite(values).all() for values in verdict.weights.values())
        assert all(verdict.weights[name].dtype == FIRST[name].dtype for name in FIRST)
        assert all(verdict.weights[name].shape == FIRST[name].shape for name in FIRST)


def arrived(*nodes: int) -> list[Message]:
    return [reply(RecordDict(), node) for node in nodes]


def nodes_of(pairs: list[tuple[int, Message | None]]) -> list[tuple[int, int | None]]:
    return [(node, it.metadata.src_node_id if it else None) for node, it in pairs]


@given(st.permutations([1, 2, 3, 4]))
def test_replies_are_handed_on_in_client_order_however_they_arrive(order: list[int]) -> None:
    pairs = nodes_of(list(in_order(arrived(*order), [1, 2, 3, 4])))
    assert pairs == [(node, node) for node in (1, 2, 3, 4)]


def test_a_reply_is_handed_on_as_soon_as_those_before_it_are_there() -> None:
    read: list[int] = []

    def coming() -> Any:
        for it in arrived(2, 1, 3):
            read.append(it.metadata.src_node_id)
            yield it

    ordered = in_order(coming(), [1, 2, 3])
    next(ordered)
    assert read == [2, 1]
    next(ordered)
    assert read == [2, 1]
    next(ordered)
    assert read == [2, 1, 3]


def test_a_missing_reply_is_none_and_strangers_and_repeats_are_dropped() -> None:
    pairs = nodes_of(list(in_order(arrived(9, 3, 3, 1, 1, 3), [1, 2, 3])))
    assert pairs == [(1, 1), (2, None), (3, 3)]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (RecordDict, 0),
        (lambda: RecordDict({"config": ConfigRecord({"ab": "", "c": 1, "d": [True, False]})}), 34),
        (lambda: RecordDict({"m": MetricRecord({"x": 1.0, "y": [1.0, 2.0]})}), 27),
    ],
)
def test_the_payload_is_names_and_values(make: Callable[[], RecordDict], expected: int) -> None:
    assert payload_bytes(make()) == expected


def test_the_payload_of_arrays_is_their_bytes() -> None:
    record = encode(FIRST)
    numbers = sum(len(array.data) for array in record.values())
    assert payload_bytes(RecordDict({"arrays": record})) == numbers + len("arraypointsteps") + 1
