"""The replies of one round on their way to the strategy: put in order, checked, counted."""

import logging
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flwr.app import Message

from gptfl.federation.arrays import Weights
from gptfl.federation.diversity import GradientDiversity
from gptfl.federation.replies import Update, examine, in_order, payload_bytes
from gptfl.federation.results import Refusal

_LOG = logging.getLogger(__name__)
LONGEST_REASON = 300
"""Characters of what a client says went wrong."""


class TooFewRepliesError(Exception):
    """Ends an aggregation before it has an effect; never leaves the loop."""


class Intake:
    """Lets good replies through, one at a time, and keeps of each only its numbers."""

    def __init__(
        self,
        sent: Weights,
        bounds: Mapping[int, int],
        trained: Collection[str],
        minimum: int,
        names: Sequence[str],
    ) -> None:
        """`bounds` are the most samples of each node of the round; `minimum` replies are needed;
        node i + 1 is called `names[i]`."""
        self._sent = sent
        self._names = names
        self.bounds = bounds
        self._minimum = minimum
        self.diversity = GradientDiversity(sent, trained)
        self.refused: Counter[Refusal] = Counter()
        self.replied = 0
        self.examples = 0
        self.bytes_received = 0
        self.complaint = ""
        self._loss = _Mean()
        self._accuracy = _Mean()

    @property
    def mean_loss(self) -> float | None:
        return self._loss.value

    @property
    def mean_accuracy(self) -> float | None:
        return self._accuracy.value

    def good(self, replies: Iterable[Message], nodes: Sequence[int]) -> Iterator[Message]:
        """The replies of `nodes` that can be used, in their order.

        Raises TooFewRepliesError at the end when there were not enough, so that a strategy that
        has read them all does not get to change its memory.
        """
        for node, reply in in_order(replies, nodes):
            if reply is None:
                self._refuse(node, Refusal.NO_REPLY, "")
                continue
            if reply.has_content():
                self.bytes_received += payload_bytes(reply.content)
            verdict = examine(reply, self._sent, self.bounds[node])
            if isinstance(verdict, Refusal):
                reason = reply.error.reason if reply.has_error() else None
                self._refuse(node, verdict, reason or "")
                continue
            self._count(verdict)
            reply.content = verdict.content(next(iter(reply.content.array_records.values())))
            yield reply
        if self.replied < self._minimum:
            raise TooFewRepliesError

    def _refuse(self, node: int, refusal: Refusal, reason: str) -> None:
        self.refused[refusal] += 1
        self.complaint = reason or refusal.value
        # It comes from outside: no line of its own in the log, and no page of it.
        said = f" ({reason[:LONGEST_REASON]!r})" if reason else ""
        _LOG.warning("no use of client %s: %s%s", self._names[node - 1], refusal.value, said)

    def _count(self, update: Update) -> None:
        self.replied += 1
        self.examples += update.examples
        self._loss.add(update.train_loss, update.examples)
        self._accuracy.add(update.train_accuracy, update.examples)
        self.diversity.add(update.weights)


class _Mean:
    """A mean weighted by samples."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 0

    def add(self, value: float, weight: int) -> None:
        self._sum += value * weight
        self._weight += weight

    @property
    def value(self) -> float | None:
        """None of nothing, and of numbers so large that their sum is none."""
        if not self._weight or not math.isfinite(self._sum):
            return None
        return self._sum / self._weight
