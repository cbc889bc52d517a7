"""The two paths that ask the model, in KServe's protocols over HTTP.

They stand before the application with all other paths: the way through its routers and middleware,
and KServe's own handling of these two, cost more than a small model does.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gptfl.serving.answers import rest_answer
from gptfl.serving.body import Room, Share, read_body
from gptfl.serving.counting import Counting
from gptfl.serving.models import OneModel
from gptfl.serving.refusals import refused
from gptfl.serving.requests import RequestError
from gptfl.serving.tensors import JSON_LENGTH, read_infer_request

_PATH = re.compile(r"/(?:(v1)/models/([^/]+):predict|(v2)/models/([^/]+)/infer)")


class Predictions:
    """ASGI: `:predict` of v1 and `/infer` of v2; what is something else goes on to the rest."""

    def __init__(self, dataplane: OneModel, counting: Counting, rest: ASGIApp, room: Room) -> None:
        self._dataplane = dataplane
        self._counting = counting
        self._rest = rest
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        found = _PATH.fullmatch(scope["path"]) if is_post else None
        if found is None:
            await self._rest(scope, receive, send)
            return
        protocol, name = found[1] or found[3], found[2] or found[4]
        try:
            with self._counting.request(protocol), self._room.share() as share:
                response = await self._answer(protocol, name, scope, receive, share)
        except Exception as error:
            response = refused("POST", error)
        if self._dataplane.is_draining:
            # The next request on a kept connection would come here, too, and may come too late.
            response.headers["connection"] = "close"
        await response(scope, receive, send)

    async def _answer(
        self, protocol: str, name: str, scope: Scope, receive: Receive, share: Share
    ) -> Response:
        self._dataplane.require_ready()
        body = await read_body(scope, receive, share)
        if protocol == "v1":
            answer, _ = await self._dataplane.infer(name, _parsed(body))
            return Response(orjson.dumps(answer), media_type="application/json")
        request = read_infer_request(body, Headers(scope=scope), name)
        answer, _ = await self._dataplane.infer(name, request)
        return _v2_response(*rest_answer(answer))


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"body: is not JSON ({error})") from None


def _v2_response(content: bytes, json_length: int | None) -> Response:
    if json_length is None:
        return Response(content, media_type="application/json")
    headers: Mapping[str, str] = {JSON_LENGTH: str(json_length)}
    return Response(content, headers=headers, media_type="application/octet-stream")
