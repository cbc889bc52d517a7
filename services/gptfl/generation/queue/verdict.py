"""What to do about a shard that is not drawn yet: pure, and the same however often it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from gptfl.errors import StageError
from gptfl.generation.queue.notes import Failure

TRIES = 3
"""Times that a shard may fail, where another attempt can help."""
BACK_OFF = 1.0
"""Seconds after the first failure; twice as many after each one more."""
LOSSES = 10
"""Workers that a shard may lose.

A shard that needs more memory than there is kills each worker that takes it, and must not do so for
ever. Machines that are taken away, or a chaos test, hit all shards alike: that one is hit ten times
before it gets through, though others get through in between, does not happen by chance.
"""
SETTLED = 1.0
"""Seconds for which a shard has to be in nobody's hands before it counts as lost: a worker that has
taken a task from the queue needs a moment until it holds the shard."""


class Verdict(Enum):
    """What to do."""

    WAIT = auto()
    ENQUEUE = auto()


@dataclass(frozen=True)
class Sight:
    """What is seen of a shard that is not drawn."""

    name: str
    in_hands: bool
    """A living worker draws it, or its task waits in the queue."""
    begun: int
    """Workers that began it and did not say how it ended."""
    failures: Sequence[Failure]
    idle: float
    """Seconds since it was last in hands; infinite when it never was."""


def judge(sight: Sight) -> Verdict:
    """Raises the error that ends the stage: a failure that cannot be helped, or was not by trying
    again, and too many workers lost."""
    final = next((failure for failure in sight.failures if failure.final), None)
    if final is not None:
        raise final.error()
    if len(sight.failures) >= TRIES:
        raise sight.failures[-1].error()
    if sight.in_hands:
        return Verdict.WAIT
    if sight.begun >= LOSSES and sight.idle >= SETTLED:
        raise StageError(
            f"spec.generation: {sight.begun} workers died while they drew {sight.name}, which is "
            "what too little memory looks like; give workers more, or make batchSize, height and "
            "width smaller, then run the same command to go on"
        )
    pause = BACK_OFF * 2 ** (len(sight.failures) - 1) if sight.failures else 0.0
    return Verdict.ENQUEUE if sight.idle >= max(SETTLED, pause) else Verdict.WAIT
