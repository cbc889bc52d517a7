"""The two routes that answer, in KServe's protocols.

KServe's own let FastAPI take each request apart and put each answer together, which costs more
than a small model does, and end in status 500 for some requests that are wrong.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from kserve import InferRequest, InferResponse
from kserve.protocol.dataplane import DataPlane
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gptfl.serving.requests import RequestError
from gptfl.serving.tensors import JSON_LENGTH, read_infer_request


def predict_routes(dataplane: DataPlane) -> list[BaseRoute]:
    """`:predict` of v1 and `/infer` of v2."""

    async def infer(request: Request, payload: dict[str, Any] | InferRequest) -> Any:
        answer, _ = await dataplane.infer(_name(request), payload, dict(request.headers))
        return answer

    async def v1(request: Request) -> Response:
        return _json(await infer(request, _parsed(await request.body())))

    async def v2(request: Request) -> Response:
        body = await request.body()
        asked = read_infer_request(body, request.headers, _name(request))
        return _v2_response(await infer(request, asked))

    return [
        Route("/v1/models/{name}:predict", v1, methods=["POST"]),
        Route("/v2/models/{name}/infer", v2, methods=["POST"]),
    ]


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"body: is not JSON ({error})") from None


def _v2_response(answer: InferResponse) -> Response:
    content, json_length = answer.to_rest()
    if json_length is None:
        return _json({name: value for name, value in content.items() if value is not None})
    headers = {JSON_LENGTH: str(json_length)}
    return Response(content, headers=headers, media_type="application/octet-stream")


def _json(content: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
