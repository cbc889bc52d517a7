"""Flower's `Grid` on the streams of an aggregator."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from uuid import uuid4

from flwr.app import Message

from gptfl.federation.flower import number_message
from gptfl.federation.gridbase import OwnGrid
from gptfl.federation.network.blocks import map_large_blocks
from gptfl.federation.network.codec import Limits, pack
from gptfl.federation.network.counters import StreamStatus
from gptfl.federation.network.event_loop import LoopThread
from gptfl.federation.network.security import ServerSecurity
from gptfl.federation.network.server import StreamServer
from gptfl.federation.network.settings import StreamSettings
from gptfl.federation.network.slots import Slot


class StreamGrid(OwnGrid):
    """A grid whose nodes are clients elsewhere; node i + 1 is client i.

    Its methods are for a plain thread; the streams live on an event loop in a thread of their own.
    """

    def __init__(
        self,
        loop: LoopThread,
        server: StreamServer,
        address: str,
        nodes: Sequence[int],
        settings: StreamSettings,
    ) -> None:
        super().__init__(nodes)
        self.address = address
        """Where it listens, with the port that was chosen when 0 was asked for."""
        self._loop = loop
        self._server = server
        self._settings = settings
        self._mark = uuid4().hex
        self._order = count()
        self._pushed: dict[str, Slot] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        slots = [self._slot(message) for message in messages]
        self._loop.call(self._submit(slots, None))
        self._pushed |= {slot.id: slot for slot in slots}
        return [slot.id for slot in slots]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have come; each is given once."""
        slots = [self._pushed[number] for number in message_ids if number in self._pushed]
        replies = self._loop.call(self._collect(slots))
        for slot in replies:
            del self._pushed[slot.id]
        return list(replies.values())

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Asks when the first reply is wanted, and yields one for each message, in their order.

        In order, because the loop folds in order, and whoever holds early replies must be the one
        that bounds them. A message with an id (`number_message`) is that task for ever: a client
        that has its reply sends it without training again. When `timeout` has passed, replies
        that were announced in time are still fetched; for the others there are error replies with
        a code of `NoReply`. Without a timeout it waits for ever.
        """
        slots = [self._slot(message) for message in messages]
        timer = self._loop.call(self._submit(slots, timeout))
        try:
            for slot in slots:
                yield self._loop.call(self._server.exchange.take(slot))
                self._loop.call(self._let_go([slot]))
        finally:
            if not self._loop.closed:
                self._loop.call(self._let_go(slots, timer))

    def status(self) -> StreamStatus:
        """What telemetry shows."""
        return self._loop.call(self._server.status())

    def dismiss(self) -> None:
        """Tells every client, those connected and those to come, that there is no more to do."""
        self._loop.call(self._server.dismiss())

    def _slot(self, message: Message) -> Slot:
        order = next(self._order)
        if not message.metadata.message_id:
            number_message(message, f"{self._mark}-{order}")
        about = {"type": message.metadata.message_type, "group": message.metadata.group_id}
        packed = pack(message.content, about)
        limits = Limits(
            self._most(len(packed.header)), self._most(packed.payload), self._settings.reply_items
        )
        return Slot(message, packed, limits, order)

    def _most(self, sent: int) -> int:
        return int(sent * self._settings.reply_factor) + self._settings.reply_extra

    async def _submit(
        self, slots: Sequence[Slot], timeout: float | None
    ) -> asyncio.TimerHandle | None:
        exchange = self._server.exchange
        exchange.submit(slots)
        if timeout is None:
            return None
        return asyncio.get_running_loop().call_later(timeout, exchange.expire, slots)

    async def _let_go(
        self, slots: Sequence[Slot], timer: asyncio.TimerHandle | None = None
    ) -> None:
        if timer is not None:
            timer.cancel()
        self._server.exchange.let_go(slots)

    async def _collect(self, slots: Sequence[Slot]) -> dict[Slot, Message]:
        return self._server.exchange.collect(slots)


@contextmanager
def open_stream_grid(
    address: str,
    names: Sequence[str],
    security: ServerSecurity | None,
    *,
    terms: bytes = b"",
    settings: StreamSettings | None = None,
) -> Iterator[StreamGrid]:
    """Listens on `address` ("host:port", port 0 for any) for the clients `names`, in client order.

    `terms` are given to each client with its welcome. Without `security` anybody who can reach
    the address is believed: for tests, and refused beyond loopback.
    Raises NetworkError when the address or a file of `security` cannot be used.
    """
    settings = settings or StreamSettings()
    map_large_blocks()
    loop = LoopThread("gptfl-streams")
    try:
        server = StreamServer(names, security, terms, settings)
        where = loop.call(server.start(address))
        try:
            yield StreamGrid(loop, server, where, range(1, len(names) + 1), settings)
        finally:
            loop.call(server.stop())
    finally:
        loop.close()
