"""A client's end of the stream: connects for as long as it takes, and carries its desk's frames."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio

from gptfl.federation.network.channels import client_options
from gptfl.federation.network.codec import CodecError, Packed
from gptfl.federation.network.counters import Turned
from gptfl.federation.network.desk import Desk, Received
from gptfl.federation.network.frames import (
    METHOD,
    PROTOCOL,
    Chunk,
    Done,
    End,
    Frame,
    FrameError,
    Grant,
    Hello,
    Ready,
    Task,
    Want,
    Welcome,
    pack_frame,
    unpack_frame,
)
from gptfl.federation.network.security import ClientIdentity

_LOG = logging.getLogger(__name__)
_Call = grpc.aio.StreamStreamCall[bytes, bytes]
_FIRST_WAIT = 0.1
_CONNECT_SECONDS = 15.0
_KEEPALIVE_SECONDS = 10.0


class ClientEvents(Protocol):
    """What a client can tell of its doings; called in the stream's thread, sizes in bytes."""

    def connected(self, server: str, node: int) -> None: ...

    def disconnected(self, reason: str, retry_seconds: float) -> None: ...

    def task_received(self, task: str, size: int) -> None: ...

    def reply_sent(self, task: str, size: int) -> None: ...


@dataclass(frozen=True)
class Work:
    """A task, and what the server said of itself when it was given."""

    task: Received
    terms: bytes
    node: int


class ClientStream:
    """Runs until the server has no more tasks; reconnects for ever until then."""

    def __init__(
        self,
        server: str,
        identity: ClientIdentity,
        credentials: grpc.ChannelCredentials | None,
        events: ClientEvents | None,
        longest_wait: float,
    ) -> None:
        self._server = server
        self._identity = identity
        self._credentials = credentials
        self._events = events
        self._longest_wait = longest_wait
        self._desk = Desk()
        self._welcome: Welcome | None = None
        self._outbox: asyncio.Queue[Iterator[bytes]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._over = False
        self._wait = _FIRST_WAIT

    async def run(self) -> None:
        """Stays connected."""
        try:
            while not self._over:
                began = time.monotonic()
                reason = await self._session()
                if time.monotonic() - began > self._longest_wait:
                    self._wait = _FIRST_WAIT
                if not self._over:
                    await self._pause(reason)
        finally:
            self._over = True
            self._news.set()

    async def next_work(self) -> Work | None:
        """Waits for a task; None when there will be none."""
        while not self._over:
            task = self._desk.next_work()
            if task is not None and self._welcome is not None:
                return Work(task, self._welcome.terms, self._welcome.node)
            self._news.clear()
            await self._news.wait()
        return None

    def made(self, task: str, reply: Packed) -> None:
        """Hands in a reply; without a connection it waits until the server asks again."""
        self._send(self._desk.made(task, reply))

    async def _session(self) -> str:
        """One connection, from hello to its end; why it ended."""
        self._outbox = asyncio.Queue()
        async with self._channel() as channel:
            call: _Call = channel.stream_stream(METHOD)()
            try:
                await self._greet(call)
                await self._carry(call)
            except (TimeoutError, FrameError, CodecError) as error:
                return str(error) or "no answer in time"
            except grpc.aio.AioRpcError as error:
                return _told(error)
            finally:
                call.cancel()
        return "the server has closed the connection"

    def _channel(self) -> grpc.aio.Channel:
        options = client_options(_KEEPALIVE_SECONDS)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._server, options)
        return grpc.aio.secure_channel(self._server, self._credentials, options)

    async def _greet(self, call: _Call) -> None:
        name, token = self._identity.name, self._identity.token
        async with asyncio.timeout(_CONNECT_SECONDS):
            await call.write(pack_frame(Hello(protocol=PROTOCOL, name=name, token=token)))
            welcome = await self._next(call)
        if not isinstance(welcome, Welcome):
            raise FrameError("the server did not begin with a welcome")
        self._welcome = welcome
        _LOG.info("connected to %s as client %d", self._server, welcome.node)
        if self._events is not None:
            self._events.connected(self._server, welcome.node)

    async def _carry(self, call: _Call) -> None:
        writing = asyncio.create_task(self._write(call))
        try:
            while not self._over:
                frame = await self._next(call)
                if frame is None:
                    return
                self._react(frame)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _next(self, call: _Call) -> Frame | None:
        data = await call.read()
        if isinstance(data, bytes):
            return unpack_frame(data)
        if await call.code() is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                await call.code(),
                await call.initial_metadata(),
                await call.trailing_metadata(),
                await call.details(),
            )
        return None

    async def _write(self, call: _Call) -> None:
        while True:
            for frame in await self._outbox.get():
                await call.write(frame)

    def _react(self, frame: Frame) -> None:
        desk = self._desk
        match frame:
            case Chunk():
                task = desk.chunk(frame)
                if task is not None:
                    self._news.set()
                    _LOG.info("task %s is here: %d bytes", task.id, task.size)
                    if self._events is not None:
                        self._events.task_received(task.id, task.size)
            case Task():
                answer = desk.task(frame)
                if answer is not None:
                    self._send(answer)
            case Grant():
                assert self._welcome is not None
                self._outbox.put_nowait(desk.granted(frame, self._welcome.frame_bytes))
            case Done():
                self._done(frame)
            case End():
                self._over = True
            case _:
                raise FrameError(f"a {type(frame).__name__} frame from the server")

    def _done(self, done: Done) -> None:
        size = self._desk.done(done.id)
        if size is None:
            return
        if not done.accepted:
            _LOG.warning("the reply to task %s was not wanted", done.id)
            return
        _LOG.info("the reply to task %s has left this machine: %d bytes", done.id, size)
        if self._events is not None:
            self._events.reply_sent(done.id, size)

    def _send(self, frame: Want | Ready) -> None:
        self._outbox.put_nowait(iter((pack_frame(frame),)))

    async def _pause(self, reason: str) -> None:
        """Longer each time until a connection lasts, and never for all clients the same."""
        seconds = self._wait * random.uniform(0.5, 1)
        self._wait = min(2 * self._wait, self._longest_wait)
        _LOG.warning("not connected: %s; trying again in %.1f s", reason, seconds)
        if self._events is not None:
            self._events.disconnected(reason, seconds)
        await asyncio.sleep(seconds)


def _told(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return "the server does not let this client in (name, certificate, token or revoked)"
    if error.details() == Turned.REPLACED.value:
        return "another process has connected as this client; start only one"
    return f"{error.code().name.lower()}: {error.details()}"
