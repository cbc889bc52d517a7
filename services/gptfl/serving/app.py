"""The HTTP application: KServe's endpoints for one model, with errors that say what to do.

The endpoints are put on an application of our own. That of `kserve.ModelServer` listens on all
addresses, writes a traceback for each wrong request, times each request for a log that nobody
reads, and lets anyone unload the model.
"""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from kserve.metrics import EXPLAIN_HIST_TIME, POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from gptfl.serving.body import LimitedBody, Room
from gptfl.serving.counting import Counting
from gptfl.serving.models import FixedModels, OneModel
from gptfl.serving.refusals import REFUSALS, printable, refused, said
from gptfl.serving.routes import Predictions


def create_app(
    dataplane: OneModel,
    counting: Counting,
    registry: CollectorRegistry,
    room: Room,
) -> ASGIApp:
    """The application for a loaded model; `/metrics` shows the registry."""
    app = FastAPI(title="gptfl", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LimitedBody, room=room)
    app.add_api_route("/", dataplane.live)
    _add_metrics(app, registry)
    fixed = FixedModels(dataplane)
    register_v1_endpoints(app, dataplane, fixed)
    register_v2_endpoints(app, dataplane, fixed)
    for kind in (*REFUSALS, Exception):
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(HTTPException, _http)
    return Predictions(dataplane, counting, app, room)


def _add_metrics(app: FastAPI, registry: CollectorRegistry) -> None:
    for histogram in (PRE_HIST_TIME, PREDICT_HIST_TIME, POST_HIST_TIME, EXPLAIN_HIST_TIME):
        registry.register(histogram)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    app.add_api_route("/metrics", metrics, response_model=None)


async def _refused(request: Request, error: Exception) -> Response:
    return refused(request.method, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return said(request.method, HTTPStatus(error.status_code), printable(str(error.detail)))
