"""One client's stream at the aggregator: its frames in order each way, and when to cut it off."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import grpc.aio

from gptfl.federation.network.counters import Counters, Turned
from gptfl.federation.network.exchange import Exchange
from gptfl.federation.network.frames import (
    Chunk,
    Done,
    End,
    FrameError,
    Grant,
    Ready,
    Task,
    Want,
    pack_chunk,
    pack_frame,
    unpack_frame,
)
from gptfl.federation.network.settings import StreamSettings
from gptfl.federation.network.slots import Slot

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 256
"""Frames and downloads that a client may have asked for and not yet read."""


class Sending:
    """How large the next frame of a task may be, so that all clients' together stay bounded.

    Who reads slowly keeps its frame for long. It takes room from the others' frames, never their
    turn.
    """

    _SMALLEST = 32 << 10
    _SHARE = 8

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self.on_their_way = 0

    @property
    def frame_bytes(self) -> int:
        share = (self._settings.sending_bytes - self.on_their_way) // self._SHARE
        return min(self._settings.frame_bytes, max(self._SMALLEST, share))


class StreamLine:
    """A `Line` over a gRPC stream; ends with a reason, or None when the client has left."""

    def __init__(
        self,
        context: "grpc.aio.ServicerContext[bytes, bytes]",
        name: str,
        node: int,
        *,
        exchange: Exchange,
        sending: Sending,
        settings: StreamSettings,
        counters: Counters,
        revoked: Callable[[], bool],
    ) -> None:
        self.name = name
        self.node = node
        self._context = context
        self._exchange = exchange
        self._sending = sending
        self._settings = settings
        self._counters = counters
        self._revoked = revoked
        self._clock = asyncio.get_running_loop().time
        self._outbox: asyncio.Queue[Iterator[bytes]] = asyncio.Queue()
        self.ended: asyncio.Future[Turned | None] = asyncio.get_running_loop().create_future()
        self._offered: Slot | None = None
        self._transfers = 0
        self._coming: tuple[Slot, float, float] | None = None
        self._written_until: float | None = None

    def welcome(self, frame: bytes) -> None:
        """To be sent before all else."""
        self._put(frame)

    async def run(self) -> Turned | None:
        """Carries frames until the client leaves or is cut off, and says why it was."""
        self._exchange.join(self)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        try:
            return await self.ended
        finally:
            self._exchange.leave(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self, reason: Turned | None) -> None:
        """Ends the stream."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def replace(self) -> None:
        self.cut(Turned.REPLACED)

    def dismiss(self) -> None:
        """Tells the client that there is no more to do."""
        self._put(pack_frame(End()))

    def check(self) -> None:
        """To be called now and then: cuts off a client that hardly sends, or does not read."""
        if self._revoked():
            self.cut(Turned.REVOKED)
        now = self._clock()
        stall = self._settings.stall_seconds
        if self._written_until is not None and now > self._written_until:
            self.cut(Turned.SLOW)
        if self._coming is not None:
            _, last, end = self._coming
            if now - last > stall or now > end:
                self.cut(Turned.SLOW)

    def offer(self, slot: Slot) -> None:
        self._offered = slot
        packed = slot.packed
        self._put(
            pack_frame(
                Task(
                    id=slot.id,
                    edition=packed.edition,
                    header=len(packed.header),
                    payload=packed.payload,
                )
            )
        )

    def grant(self, slot: Slot, offset: int) -> None:
        assert slot.assembly is not None
        now = self._clock()
        self._coming = (slot, now, now + self._longest(slot.assembly.size - offset))
        self._transfers += 1
        self._put(pack_frame(Grant(id=slot.id, transfer=self._transfers, offset=offset)))

    def finish(self, task: str, *, accepted: bool) -> None:
        if self._coming is not None and self._coming[0].id == task:
            self._coming = None
        if self._offered is not None and self._offered.id == task:
            self._offered = None
        self._put(pack_frame(Done(id=task, accepted=accepted)))

    def _longest(self, size: int) -> float:
        """Seconds that so many bytes may take."""
        settings = self._settings
        return settings.stall_seconds + size / settings.slowest_bytes_per_second

    async def _read(self) -> None:
        # No local here holds a frame: each client's last one would stay in memory.
        while self._react(await self._context.read()):
            pass

    def _react(self, data: object) -> bool:
        """Does what a frame asks for; False at the end of the stream."""
        if not isinstance(data, bytes):
            return False
        self._counters.frames_received += 1
        if self._revoked():
            self.cut(Turned.REVOKED)
            return False
        frame = unpack_frame(data)
        match frame:
            case Chunk():
                self._receive(frame)
            case Want():
                self._send_task(frame)
            case Ready():
                self._exchange.announce(self, frame)
            case _:
                raise FrameError(f"a {type(frame).__name__} frame from a client")
        return True

    def _receive(self, chunk: Chunk) -> None:
        if not 0 < chunk.transfer <= self._transfers:
            raise FrameError("a chunk that was not granted")
        if chunk.transfer < self._transfers or self._coming is None:
            return  # was on its way when the reply was no longer wanted
        slot, _, end = self._coming
        self._coming = (slot, self._clock(), end)
        self._counters.bytes_received[self.name] += len(chunk.data)
        self._exchange.receive(slot, chunk)

    def _send_task(self, want: Want) -> None:
        slot = self._offered
        if slot is not None and slot.id == want.id and want.offset <= slot.packed.size:
            self._enqueue(self._chunks(slot, want.transfer, want.offset))

    def _chunks(self, slot: Slot, transfer: int, offset: int) -> Iterator[bytes]:
        while offset < slot.packed.size and self._offered is slot:
            pieces = slot.packed.pieces(offset, self._sending.frame_bytes)
            size = sum(map(len, pieces))
            self._sending.on_their_way += size
            try:
                yield pack_chunk(transfer, offset, pieces)
            finally:
                self._sending.on_their_way -= size
            offset += size
            self._counters.bytes_sent[self.name] += size

    def _put(self, frame: bytes) -> None:
        self._enqueue(iter((frame,)))

    def _enqueue(self, frames: Iterator[bytes]) -> None:
        if self._outbox.qsize() >= _MOST_WAITING:
            self.cut(Turned.SLOW)
        self._outbox.put_nowait(frames)

    async def _write(self) -> None:
        while not self.ended.done():
            await self._write_all(await self._outbox.get())

    async def _write_all(self, frames: Iterator[bytes]) -> None:
        for frame in frames:
            if self._revoked():
                self.cut(Turned.REVOKED)
                return
            self._written_until = self._clock() + self._longest(len(frame))
            await self._context.write(frame)
            self._written_until = None
            self._counters.frames_sent += 1

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.cut(None)
            return
        error = task.exception()
        if isinstance(error, FrameError):
            _LOG.warning("client %s is cut off: it sent %s", self.name, error)
            self.cut(Turned.PROTOCOL)
        elif error is not None:
            _LOG.debug("the stream of client %s broke: %s", self.name, type(error).__name__)
            self.cut(None)
        else:
            self.cut(None)
