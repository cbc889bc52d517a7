"""What a client has in hand: the task that comes in, the one it works on, the reply it has made.

All of it outlives a connection. A reply is kept until the next one is made, because an aggregator
that was killed after it had it asks for the same again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from flwr.app import Error, RecordDict

from gptfl.federation.network.codec import Assembly, CodecError, Limits, Packed
from gptfl.federation.network.frames import Chunk, FrameError, Grant, Ready, Task, Want, pack_chunk

_TASK_LIMITS = Limits(header=1 << 28, payload=1 << 44, items=10_000_000)
"""A client believes the server that it has chosen; this only keeps nonsense out."""


@dataclass(frozen=True)
class Received:
    """A task that is here."""

    id: str
    content: RecordDict
    about: dict[str, str]
    size: int


class Desk:
    """Answers the server's frames; used in the stream's thread alone."""

    def __init__(self) -> None:
        self.wanted: str | None = None
        """The task that the server has named last, until it wants no more of it."""
        self._transfers = 0
        self._coming: tuple[str, Assembly] | None = None
        self._waiting: Received | None = None
        self._in_work: str | None = None
        self._reply: tuple[str, Packed] | None = None
        self._sending: int | None = None

    def task(self, task: Task) -> Want | Ready | None:
        """What to say to a task: send it (from where), here is its reply, or nothing as yet."""
        self.wanted = task.id
        self._sending = None
        if self._reply is not None and self._reply[0] == task.id:
            return self.ready()
        waiting = self._waiting is not None and self._waiting.id == task.id
        if waiting or self._in_work == task.id:
            return None
        if self._coming is None or self._coming[1].edition != task.edition:
            sizes = task.header, task.payload
            self._coming = task.id, Assembly(task.edition, *sizes, _TASK_LIMITS)
        self._transfers += 1
        offset = self._coming[1].received
        return Want(id=task.id, transfer=self._transfers, offset=offset)

    def chunk(self, chunk: Chunk) -> Received | None:
        """A piece of the task that comes in; the task when it was the last piece.

        Raises CodecError for what is no message.
        """
        if chunk.transfer != self._transfers or self._coming is None:
            return None  # of a task that has been replaced
        name, assembly = self._coming
        assembly.feed(chunk.offset, chunk.data)
        if not assembly.complete:
            return None
        self._coming = None
        content, about = assembly.result()
        if isinstance(content, Error):
            raise CodecError("a task that is an error")
        self._waiting = Received(name, content, about, assembly.size)
        return self._waiting

    def next_work(self) -> Received | None:
        """The task to do now, if it is here and the server has not gone on in the meantime."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.id != self.wanted:
            return None
        self._in_work = waiting.id
        return waiting

    def made(self, task: str, reply: Packed) -> Ready:
        """A reply has been made; what to say of it."""
        if self._in_work == task:
            self._in_work = None
        self._reply, self._sending = (task, reply), None
        return self.ready()

    def ready(self) -> Ready:
        """What to say of the reply that is here."""
        if self._reply is None:
            raise FrameError("no reply is here")
        task, reply = self._reply
        return Ready(
            id=task, edition=reply.edition, header=len(reply.header), payload=reply.payload
        )

    def granted(self, grant: Grant, most: int) -> Iterator[bytes]:
        """The frames of the reply, for as long as they are wanted."""
        if self._reply is None or self._reply[0] != grant.id:
            return
        reply, offset = self._reply[1], grant.offset
        self._sending = grant.transfer
        while offset < reply.size and self._sending == grant.transfer:
            pieces = reply.pieces(offset, most)
            yield pack_chunk(grant.transfer, offset, pieces)
            offset += sum(map(len, pieces))

    def done(self, task: str) -> int | None:
        """The server wants no more of a task; the size of its reply if that is here."""
        if self.wanted == task:
            self.wanted = None
        if self._coming is not None and self._coming[0] == task:
            self._coming = None
        if self._reply is None or self._reply[0] != task:
            return None
        self._sending = None
        reply = self._reply[1]
        if reply.is_error:
            # What could not be done may be mended until the same is asked again.
            self._reply = None
        return reply.size
