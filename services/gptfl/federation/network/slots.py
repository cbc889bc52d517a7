"""One message to one client and the place for its reply; and which replies may come next."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from flwr.app import Error, Message

from gptfl.federation.flower import NoReply, error_reply, no_reply
from gptfl.federation.network.codec import Assembly, Limits, Packed

_LEAST_BUDGET = 256_000_000


class State(Enum):
    """How far the reply to a task has come."""

    WAITING = auto()
    """Nothing is known of it."""
    ANNOUNCED = auto()
    """The client has it."""
    GRANTED = auto()
    """It is on its way."""
    SETTLED = auto()
    """It is here, or never will be."""


@dataclass(eq=False)
class Slot:
    """A task and its reply; outlives the connections over which they come."""

    message: Message
    packed: Packed
    limits: Limits
    """Of the reply."""
    order: int
    """Earlier ones are let in first."""
    state: State = State.WAITING
    overdue: bool = False
    """The deadline has passed; what was announced before it may still come."""
    assembly: Assembly | None = None
    held: int = 0
    """Bytes that are set aside for the reply."""
    reply: Message | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return self.message.metadata.message_id

    @property
    def node(self) -> int:
        return self.message.metadata.dst_node_id

    def received(self) -> Message:
        """The reply that has been put together. Raises CodecError when it is none."""
        assert self.assembly is not None
        content, _ = self.assembly.result()
        if isinstance(content, Error):  # a client does not get to choose its code
            return error_reply(content.reason or "", self.message)
        return Message(content, reply_to=self.message)

    def absent(self, code: NoReply, reason: str) -> Message:
        """What stands in the place of the reply."""
        return no_reply(code, reason, self.message)


def grantable(
    announced: Collection[Slot], due: Slot | None, held: int, budget: int | None
) -> list[Slot]:
    """Which of the replies that clients have may be sent now.

    The one that the caller waits for always may: it is the one that makes room, so holding it
    back for want of room would be for ever. The others come in order while `held` and they stay
    within the budget.
    """
    if budget is None:
        largest = max((slot.packed.size for slot in announced), default=0)
        budget = max(_LEAST_BUDGET, 2 * largest)
    granted = [slot for slot in announced if slot is due]
    held += sum(_missing(slot) for slot in granted)
    for slot in sorted(announced, key=lambda slot: slot.order):
        if slot is due:
            continue
        held += _missing(slot)
        if held > budget:
            break
        granted.append(slot)
    return granted


def _missing(slot: Slot) -> int:
    assert slot.assembly is not None
    return slot.assembly.size - slot.held
