"""Reads a request's body up to a limit, so that no client can fill the server's memory."""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gptfl.serving.requests import RequestError


class BodyError(RequestError):
    """A body that is too large, too slow or cut off; its connection is of no more use."""


@dataclass(frozen=True)
class BodyLimits:
    """What a body may be."""

    bytes: int = 32 * 2**20
    seconds: float = 60
    """From the head of the request to the last byte."""


BODY_LIMITS = BodyLimits()


async def read_body(scope: Scope, receive: Receive, limits: BodyLimits) -> bytes:
    """The whole body. Raises BodyError.

    Of one that is too large as much again is read and thrown away first: a client that is still
    sending when the connection closes would lose the answer.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            return await _read(receive, _declared(scope), limits.bytes)
    except TimeoutError:
        raise BodyError(f"body: is not whole after {limits.seconds:g} s; send it faster") from None


async def _read(receive: Receive, declared: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= 2 * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError("body: the connection was closed before it was whole")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size <= limit and declared <= limit:
            chunks.append(chunk)
    if max(size, declared) > limit:
        raise BodyError(f"body: has more than {limit} bytes; send smaller images, or fewer")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _declared(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else 0


class LimitedBody:
    """ASGI middleware that does the same for an application which reads bodies by itself."""

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            receive = _WholeBody(scope, receive, self._limits)
        await self._app(scope, receive, send)


class _WholeBody:
    """Gives the body once, then whatever the connection says."""

    def __init__(self, scope: Scope, receive: Receive, limits: BodyLimits) -> None:
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self._is_given = False

    async def __call__(self) -> Message:
        if self._is_given:
            return await self._receive()
        self._is_given = True
        body = await read_body(self._scope, self._receive, self._limits)
        return {"type": "http.request", "body": body, "more_body": False}
