"""What is asked of each client and what has come back: the aggregator's side without a network.

Everything here runs in the event loop's thread. A `Line` is the way to a client while there is
one; slots outlive lines, which is what makes a broken connection harmless.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from flwr.app import Message

from gptfl.federation.flower import NoReply
from gptfl.federation.network.codec import Assembly, CodecError
from gptfl.federation.network.counters import Counters, Turned
from gptfl.federation.network.frames import Chunk, Ready
from gptfl.federation.network.slots import Slot, State, grantable

_REMEMBERED = 64
"""Tasks of a client that were given up; to tell its late replies from replayed ones."""


class Line(Protocol):
    """An open stream to a client; its methods return at once."""

    @property
    def node(self) -> int: ...

    def offer(self, slot: Slot) -> None:
        """Tells the client of a task."""

    def grant(self, slot: Slot, offset: int) -> None:
        """Lets the client send its reply."""

    def finish(self, task: str, *, accepted: bool) -> None:
        """Tells the client that nothing more of a reply is wanted."""

    def replace(self) -> None:
        """Ends the stream, because the client has another."""


class Exchange:
    """The slots of all clients; replies are let in by a budget of bytes, see `grantable`."""

    def __init__(self, budget: int | None, counters: Counters) -> None:
        self._budget = budget
        self._counters = counters
        self._lines: dict[int, Line] = {}
        self._queues: dict[int, deque[Slot]] = {}
        self._announced: set[Slot] = set()
        self._due: Slot | None = None
        self._given_up: dict[int, deque[str]] = {}
        self.held = 0

    @property
    def connected(self) -> frozenset[int]:
        """Nodes with an open stream."""
        return frozenset(self._lines)

    def submit(self, slots: Sequence[Slot]) -> None:
        """Asks; a client does its slots one after another."""
        for slot in slots:
            queue = self._queues.setdefault(slot.node, deque())
            queue.append(slot)
            if len(queue) == 1:
                self._offer(slot.node)

    async def take(self, slot: Slot) -> Message:
        """Waits for a reply, for ever if need be; it counts as held until it is let go."""
        self._due = slot
        self._admit()
        await slot.settled.wait()
        assert slot.reply is not None
        return slot.reply

    def collect(self, slots: Sequence[Slot]) -> dict[Slot, Message]:
        """The replies that are there, let go at once; if there are none, one is hurried along."""
        there = {slot: slot.reply for slot in slots if slot.reply is not None}
        if not there:
            self._due = next(iter(slots), None)
            self._admit()
        self.let_go(there)
        return there

    def let_go(self, slots: Iterable[Slot]) -> None:
        """Forgets slots, whatever has become of them."""
        for slot in slots:
            if slot.state is not State.SETTLED:
                self._give_up(slot, slot.absent(NoReply.STRAGGLER, "no longer wanted"))
            slot.reply = None
            self._drop(slot)
        self._admit()

    def expire(self, slots: Iterable[Slot]) -> None:
        """The time is up: what has not been announced will not be waited for."""
        for slot in slots:
            slot.overdue = True
            if slot.state is State.WAITING:
                self._give_up(slot, self._overdue(slot))

    def join(self, line: Line) -> None:
        """A client has connected."""
        before = self._lines.get(line.node)
        if before is not None:
            self.leave(before)
            before.replace()
        self._lines[line.node] = line
        self._offer(line.node)

    def leave(self, line: Line) -> None:
        """A stream has ended. What has come of a reply is kept, in case the client comes back."""
        if self._lines.get(line.node) is not line:
            return
        del self._lines[line.node]
        slot = self._front(line.node)
        if slot is not None and slot.state is not State.WAITING:
            slot.state = State.WAITING
            self._announced.discard(slot)
            if slot.overdue:
                self._give_up(slot, self._overdue(slot))

    def announce(self, line: Line, ready: Ready) -> None:
        """A client has a reply. One that is too large is refused before a byte of it is sent."""
        slot = self._front(line.node)
        if slot is None or slot.id != ready.id:
            self._count_unwanted(line.node, ready.id)
            line.finish(ready.id, accepted=False)
        elif not slot.limits.admit(ready.header, ready.payload):
            self._counters.turned_away[Turned.TOO_LARGE] += 1
            said = f"a reply of {ready.header + ready.payload} bytes is more than it may be"
            self._settle(slot, slot.absent(NoReply.TOO_LARGE, said))
        elif slot.state is State.WAITING:
            if slot.assembly is None or slot.assembly.edition != ready.edition:
                self._drop(slot)
                slot.assembly = Assembly(ready.edition, ready.header, ready.payload, slot.limits)
            slot.state = State.ANNOUNCED
            self._announced.add(slot)
            self._admit()

    def receive(self, slot: Slot, chunk: Chunk) -> None:
        """A piece of a reply that was granted; ignored when the reply is no longer wanted."""
        if slot.state is not State.GRANTED or slot.assembly is None:
            return
        try:
            slot.assembly.feed(chunk.offset, chunk.data)
            if slot.assembly.complete:
                self._settle(slot, slot.received(), accepted=True)
        except CodecError as error:
            self._counters.turned_away[Turned.MALFORMED] += 1
            self._settle(slot, slot.absent(NoReply.MALFORMED, str(error)))

    def _admit(self) -> None:
        if not self._announced:
            return
        for slot in grantable(self._announced, self._due, self.held, self._budget):
            assert slot.assembly is not None
            self._announced.discard(slot)
            self.held += slot.assembly.size - slot.held
            slot.held = slot.assembly.size
            slot.state = State.GRANTED
            self._lines[slot.node].grant(slot, slot.assembly.received)

    def _offer(self, node: int) -> None:
        line, slot = self._lines.get(node), self._front(node)
        if line is not None and slot is not None:
            line.offer(slot)

    def _front(self, node: int) -> Slot | None:
        queue = self._queues.get(node)
        return queue[0] if queue else None

    def _settle(self, slot: Slot, reply: Message, *, accepted: bool = False) -> None:
        slot.state = State.SETTLED
        slot.reply = reply
        slot.settled.set()
        slot.assembly = None
        if not accepted:
            self._drop(slot)
        self._announced.discard(slot)
        was_front = self._front(slot.node) is slot
        self._queues[slot.node].remove(slot)
        line = self._lines.get(slot.node)
        if line is not None and was_front:
            line.finish(slot.id, accepted=accepted)
            self._offer(slot.node)
        self._admit()

    def _give_up(self, slot: Slot, reply: Message) -> None:
        self._given_up.setdefault(slot.node, deque(maxlen=_REMEMBERED)).append(slot.id)
        self._settle(slot, reply)

    def _overdue(self, slot: Slot) -> Message:
        if slot.node in self._lines:
            return slot.absent(NoReply.STRAGGLER, "still at work when the time was up")
        return slot.absent(NoReply.DISCONNECTED, "not connected when the time was up")

    def _drop(self, slot: Slot) -> None:
        self.held -= slot.held
        slot.held = 0
        slot.assembly = None

    def _count_unwanted(self, node: int, task: str) -> None:
        given_up = self._given_up.get(node, deque())
        if task in given_up:
            given_up.remove(task)
            self._counters.late_replies += 1
        else:
            self._counters.replayed_replies += 1
