"""What a reply must be before a strategy sees it, and the order in which it does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from gptfl.federation.arrays import Weights, decode, dtype_name
from gptfl.federation.flower import NoReply
from gptfl.federation.results import Refusal

EXAMPLES = "num-examples"
"""The metric that says on how many samples a client has trained; Flower's own name for it."""
TRAIN_LOSS = "train-loss"
TRAIN_ACCURACY = "train-accuracy"


_WITHOUT_REPLY: dict[int, Refusal] = {
    NoReply.DISCONNECTED: Refusal.DISCONNECTED,
    NoReply.STRAGGLER: Refusal.STRAGGLER,
    NoReply.TOO_LARGE: Refusal.TOO_LARGE,
    NoReply.MALFORMED: Refusal.MALFORMED,
}
"""What the error codes of a grid mean."""


@dataclass(frozen=True)
class Update:
    """What a good reply says."""

    weights: dict[str, NDArray[Any]]
    examples: int
    train_loss: float
    train_accuracy: float

    def content(self, arrays: ArrayRecord) -> RecordDict:
        """What a strategy gets of it: what was asked for, whatever else a client has sent.

        Flower's strategies raise when the records of one reply are named or filled otherwise than
        those of the rest, which would let any client end the run.
        """
        metrics: dict[str, Any] = {
            EXAMPLES: self.examples,
            TRAIN_LOSS: self.train_loss,
            TRAIN_ACCURACY: self.train_accuracy,
        }
        return RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)})


def examine(reply: Message, sent: Weights, most_examples: int) -> Update | Refusal:
    """What `reply` says, or why it is refused; never raises, whatever a client sends.

    `sent` are the weights that the client was given, `most_examples` the samples it can have.
    """
    if reply.has_error():
        return _WITHOUT_REPLY.get(reply.error.code, Refusal.ERROR)
    content = reply.content
    arrays = list(content.array_records.values())
    records = list(content.metric_records.values())
    if len(arrays) != 1 or len(records) != 1:
        return Refusal.MALFORMED
    metrics = records[0]
    refused = _metrics_refused(metrics, most_examples)
    if refused is not None:
        return refused
    weights = _weights(arrays[0], sent)
    if isinstance(weights, Refusal):
        return weights
    return Update(
        weights,
        int(cast("int", metrics[EXAMPLES])),
        float(cast("float", metrics[TRAIN_LOSS])),
        float(cast("float", metrics[TRAIN_ACCURACY])),
    )


def _metrics_refused(metrics: MetricRecord, most_examples: int) -> Refusal | None:
    examples = metrics.get(EXAMPLES)
    if isinstance(examples, bool) or not isinstance(examples, int):
        return Refusal.MALFORMED
    if not 1 <= examples <= most_examples:
        return Refusal.EXAMPLES
    for value in metrics.values():
        if not np.isfinite(value).all():
            return Refusal.NOT_FINITE
    if any(not isinstance(metrics.get(n), int | float) for n in (TRAIN_LOSS, TRAIN_ACCURACY)):
        return Refusal.MALFORMED
    return None


def _weights(record: ArrayRecord, sent: Weights) -> dict[str, NDArray[Any]] | Refusal:
    if list(record) != list(sent):
        return Refusal.NAMES
    for name, array in record.items():
        if tuple(array.shape) != sent[name].shape:
            return Refusal.SHAPE
        if array.dtype != dtype_name(sent[name].dtype):
            return Refusal.DTYPE
    try:
        weights = decode(record)
    except Exception:  # bytes from outside: numpy raises many kinds for bad ones
        return Refusal.MALFORMED
    if all(np.isfinite(values).all() for values in weights.values()):
        return weights
    return Refusal.NOT_FINITE


def in_order(
    replies: Iterable[Message], nodes: Sequence[int]
) -> Iterator[tuple[int, Message | None]]:
    """The reply of each of `nodes`, in their order, as soon as those before it are there.

    Sums depend on the order of their terms, and the order in which replies come is nobody's to
    fix. Early ones wait; None stands for one that never came. Further replies of a node, and
    those of others, are dropped.
    """
    waiting: dict[int, Message] = {}
    missing = set(nodes)
    due = iter(nodes)
    node = next(due, None)
    for reply in replies:
        sender = reply.metadata.src_node_id
        if sender not in missing:
            continue
        missing.remove(sender)
        waiting[sender] = reply
        while node is not None and node in waiting:
            yield node, waiting.pop(node)
            node = next(due, None)
    while node is not None:
        yield node, waiting.pop(node, None)
        node = next(due, None)


def payload_bytes(content: RecordDict) -> int:
    """Bytes of names and values in a message, without its frame."""
    total = 0
    for key, record in content.items():
        total += len(key)
        for name, value in record.items():
            total += len(name) + _value_bytes(value)
    return total


def _value_bytes(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_value_bytes, value))
    if isinstance(value, str | bytes):
        return len(value)
    data = getattr(value, "data", None)
    return 8 if data is None else len(data)
