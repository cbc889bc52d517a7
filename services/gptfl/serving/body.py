"""Reads a request's body up to a limit, so that no client can fill the server's memory."""

import logging

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("gptfl.serving")


class LimitedBody:
    """ASGI middleware that hands the application a whole body of at most `limit` bytes.

    A larger one is answered with status 400. As much again is read and thrown away first: a client
    that is still sending when the connection closes would lose the answer.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive, self._declared(scope))
        except _TooLargeError:
            await self._refuse(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _Replay(body, receive), send)

    def _declared(self, scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else 0

    async def _read(self, receive: Receive, declared: int) -> bytes | None:
        """The body; None when the client has gone."""
        chunks: list[bytes] = []
        size = 0
        more = True
        while more and size <= 2 * self._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size <= self._limit and declared <= self._limit:
                chunks.append(chunk)
        if max(size, declared) > self._limit:
            raise _TooLargeError
        return b"".join(chunks)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"body: has more than {self._limit} bytes; send smaller images, or fewer"
        log.info("400 %s %s", scope["method"], message)
        response = JSONResponse(
            {"error": message}, status_code=400, headers={"connection": "close"}
        )
        await response(scope, receive, send)


class _TooLargeError(Exception):
    """A body of more bytes than the limit."""


class _Replay:
    """Gives the body once, then whatever the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
