"""What a client is asked before the first round, and what it says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

MOST_SAMPLES = 10**9
"""Of one client; who claims more is not believed."""


@dataclass(frozen=True)
class Question:
    """Who are you, and what do you hold?"""

    KEY: ClassVar[str] = "roll-call"
    classes: int
    """How many labels the task has."""

    def to_content(self) -> RecordDict:
        """As a message carries it."""
        return RecordDict({self.KEY: ConfigRecord({"classes": self.classes})})

    @classmethod
    def of(cls, content: RecordDict) -> "Question":
        """The question in a message. Raises KeyError when there is none."""
        return cls(cast("int", content.config_records[cls.KEY]["classes"]))


@dataclass(frozen=True)
class Presence:
    """A client's answer."""

    name: str
    samples: int
    label_counts: Sequence[int] | None
    """None when it keeps them to itself."""

    def to_content(self) -> RecordDict:
        """As a message carries it."""
        held = MetricRecord({"samples": self.samples})
        if self.label_counts is not None:
            held["label-counts"] = list(self.label_counts)
        return RecordDict({"who": ConfigRecord({"name": self.name}), "held": held})


class AbsentError(Exception):
    """No usable answer, and why; never leaves the roll call."""


def presence_in(reply: Message, classes: int) -> Presence:
    """The answer in a reply. Raises AbsentError, whatever a client sends."""
    if reply.has_error():
        raise AbsentError(reply.error.reason or "no reason given")
    try:
        name = reply.content.config_records["who"]["name"]
        held = reply.content.metric_records["held"]
    except KeyError:
        raise AbsentError("an answer without name or samples") from None
    samples, counts = held.get("samples"), held.get("label-counts")
    if not isinstance(name, str):
        raise AbsentError("a name that is no text")
    if not isinstance(samples, int) or not 0 <= samples <= MOST_SAMPLES:
        raise AbsentError("a number of samples that cannot be")
    if counts is None:
        return Presence(name, samples, None)
    if not isinstance(counts, list) or len(counts) != classes or sum(counts) != samples:
        raise AbsentError("label counts that do not add up to its samples")
    if not all(isinstance(n, int) and n >= 0 for n in counts):
        raise AbsentError("label counts that cannot be")
    return Presence(name, samples, tuple(cast("list[int]", counts)))
