"""The HTTP application: KServe's endpoints for one model, with errors that say what to do.

The endpoints are put on an application of our own. That of `kserve.ModelServer` listens on all
addresses, writes a traceback for each wrong request, times each request for a log that nobody
reads, and lets anyone unload the model.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from fastapi import FastAPI, Request, Response
from kserve import ModelRepository
from kserve.errors import (
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    UnsupportedProtocol,
)
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gptfl.serving.body import LimitedBody
from gptfl.serving.predictor import Predictor
from gptfl.serving.requests import RequestError
from gptfl.serving.routes import predict_routes

MAX_BODY_BYTES = 32 * 2**20
"""The largest request."""

MAX_MESSAGE = 500
"""Characters of an error message that are sent and logged."""

STATUSES: Mapping[type[Exception], HTTPStatus] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    RequestError: HTTPStatus.BAD_REQUEST,
    ModelNotFound: HTTPStatus.NOT_FOUND,
    ModelNotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    NotImplementedError: HTTPStatus.NOT_IMPLEMENTED,
    UnsupportedProtocol: HTTPStatus.NOT_IMPLEMENTED,
}
"""What KServe raises, and what a client is told."""

log = logging.getLogger("gptfl.serving")


def create_app(predictor: Predictor) -> FastAPI:
    """The application for a loaded model."""
    models = ModelRepository()
    models.update(predictor)
    dataplane = DataPlane(models)
    fixed = _FixedModel(models)
    # Routes are tried in order, so these two stand before KServe's of the same paths.
    routes = predict_routes(dataplane)
    app = FastAPI(title="gptfl", routes=routes, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LimitedBody, limit=MAX_BODY_BYTES)
    app.add_api_route("/", DataPlane.live)
    app.add_api_route("/metrics", metrics_handler, response_model=None)
    register_v1_endpoints(app, dataplane, fixed)
    register_v2_endpoints(app, dataplane, fixed)
    for kind in STATUSES:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)
    return app


class _FixedModel(ModelRepositoryExtension):  # type: ignore[misc]  # kserve has no types
    """One model for the life of the process: who serves another starts another server."""

    async def load(self, model_name: str) -> NoReturn:
        raise NotImplementedError(f"{model_name}: cannot be loaded; start a server with that model")

    async def unload(self, model_name: str) -> NoReturn:
        raise NotImplementedError(f"{model_name}: cannot be unloaded; stop the server")


async def _known(request: Request, error: Exception) -> Response:
    return _answer(request, STATUSES[type(error)], str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, HTTPStatus(error.status_code), str(error.detail))


async def _unknown(request: Request, error: Exception) -> Response:
    """A fault of ours: the server's log has the traceback, the client does not."""
    return _answer(
        request, HTTPStatus.INTERNAL_SERVER_ERROR, "the server has failed; its log says how"
    )


def _answer(request: Request, status: HTTPStatus, message: str) -> Response:
    # A message may quote the request: what is quoted must not fill the log nor forge its lines.
    shown = "".join(char if char.isprintable() else " " for char in message[:MAX_MESSAGE])
    log.info("%d %s %s", status, request.method, shown)
    return JSONResponse({"error": shown}, status_code=status)
