"""Reads a request's body up to a limit, and all of them together up to another, so that no clients
can fill the server's memory."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gptfl.serving.requests import BusyError, RequestError


class BodyError(RequestError):
    """A body that is too large, too slow or cut off; its connection is of no more use."""


@dataclass(frozen=True)
class BodyLimits:
    """What a body may be."""

    bytes: int = 32 * 2**20
    seconds: float = 60
    """From the head of the request to the last byte."""
    together: int = 256 * 2**20
    """Bytes of all bodies that are here at once."""


BODY_LIMITS = BodyLimits()


class Room:
    """What is left for bodies. Belongs to one event loop."""

    def __init__(self, limits: BodyLimits = BODY_LIMITS) -> None:
        self.limits = limits
        self.left = limits.together

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """The room of one request, given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()


class Share:
    """What one request has of the room."""

    def __init__(self, room: Room) -> None:
        self.limits = room.limits
        self._room = room
        self._taken = 0

    def take(self, size: int) -> bool:
        """Takes so many bytes more, if they are left."""
        if not self.fits(size):
            return False
        self._room.left -= size
        self._taken += size
        return True

    def fits(self, size: int) -> bool:
        """Whether so many bytes are left."""
        return size <= self._room.left

    def give_back(self) -> None:
        """The request's bytes are here no more."""
        self._room.left += self._taken
        self._taken = 0


def no_room() -> BusyError:
    """What a request is told whose body has no room among the others."""
    return BusyError("the bodies of other requests leave no room; ask again in a second")


async def read_body(scope: Scope, receive: Receive, share: Share) -> bytes:
    """The whole body, which has its room as long as the share. Raises BodyError and BusyError.

    Room is taken for bytes that come and not for those that are announced: else a few clients that
    send nothing would keep out all others. Of a body that is refused as much again as it may have
    is read and thrown away first: a client that is still sending when the connection closes would
    lose the answer.
    """
    limits = share.limits
    try:
        async with asyncio.timeout(limits.seconds):
            return await _read(receive, _declared(scope), limits.bytes, share)
    except TimeoutError:
        raise BodyError(f"body: is not whole after {limits.seconds:g} s; send it faster") from None


async def _read(receive: Receive, declared: int, limit: int, share: Share) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    is_kept = declared <= limit and share.fits(declared)
    while more and size <= 2 * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError("body: the connection was closed before it was whole")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        is_kept = is_kept and size <= limit and share.take(len(chunk))
        if is_kept:
            chunks.append(chunk)
        else:
            chunks.clear()
            share.give_back()
    if max(size, declared) > limit:
        raise BodyError(f"body: has more than {limit} bytes; send smaller images, or fewer")
    if not is_kept:
        raise no_room()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _declared(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else 0


class LimitedBody:
    """ASGI middleware that does the same for an application which reads bodies by itself."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._room.share() as share:
            if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                receive = _WholeBody(scope, receive, share)
            await self._app(scope, receive, send)


class _WholeBody:
    """Gives the body once, then whatever the connection says."""

    def __init__(self, scope: Scope, receive: Receive, share: Share) -> None:
        self._scope = scope
        self._receive = receive
        self._share = share
        self._is_given = False

    async def __call__(self) -> Message:
        if self._is_given:
            return await self._receive()
        self._is_given = True
        body = await read_body(self._scope, self._receive, self._share)
        return {"type": "http.request", "body": body, "more_body": False}
