"""What a client is told when its request was not answered, in the words of either protocol."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import grpc
from kserve.errors import (
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    ServerNotReady,
    UnsupportedProtocol,
)
from starlette.responses import JSONResponse

from gptfl.serving.body import BodyError
from gptfl.serving.requests import BusyError, RequestError

MAX_MESSAGE = 500
"""Characters of a message that are sent and logged."""

RETRY_SECONDS = 1
"""When those may ask again who were refused for no fault of theirs."""

log = logging.getLogger("gptfl.serving")


class Outcome(StrEnum):
    """How a request ended, for counting."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """It was wrong."""
    BUSY = "busy"
    """There were too many, or the server is stopping."""
    FAILED = "failed"
    """A fault of ours."""


@dataclass(frozen=True)
class Refusal:
    """One reason in both protocols."""

    http: HTTPStatus
    grpc: grpc.StatusCode
    outcome: Outcome = Outcome.REFUSED


WRONG = Refusal(HTTPStatus.BAD_REQUEST, grpc.StatusCode.INVALID_ARGUMENT)
UNKNOWN = Refusal(HTTPStatus.NOT_FOUND, grpc.StatusCode.NOT_FOUND)
UNAVAILABLE = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, outcome=Outcome.BUSY
)
ABSENT = Refusal(HTTPStatus.NOT_IMPLEMENTED, grpc.StatusCode.UNIMPLEMENTED)
FAULT = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, grpc.StatusCode.INTERNAL, outcome=Outcome.FAILED)

REFUSALS: Mapping[type[Exception], Refusal] = {
    InvalidInput: WRONG,
    RequestError: WRONG,
    BodyError: WRONG,
    ModelNotFound: UNKNOWN,
    ModelNotReady: UNAVAILABLE,
    ServerNotReady: UNAVAILABLE,
    BusyError: UNAVAILABLE,
    NotImplementedError: ABSENT,
    UnsupportedProtocol: ABSENT,
}
"""What KServe raises and we do; everything else is a fault of ours."""


def refusal(error: Exception) -> Refusal:
    """How an error is answered."""
    return REFUSALS.get(type(error), FAULT)


def message(error: Exception) -> str:
    """The sentence for the client. Of a fault of ours the log has the traceback, the client not."""
    if refusal(error) is FAULT:
        return "the server has failed; its log says how"
    return printable(str(error))


def printable(text: str) -> str:
    """A message may quote the request: that must not fill the log nor forge its lines."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_MESSAGE])


def refused(method: str, error: Exception) -> JSONResponse:
    """The answer over HTTP; a fault of ours is logged with its traceback."""
    found = refusal(error)
    response = said(method, found.http, message(error), error if found is FAULT else None)
    if found is UNAVAILABLE:
        response.headers["retry-after"] = str(RETRY_SECONDS)
    if found is UNAVAILABLE or isinstance(error, BodyError):
        # A body may be stuck in this connection, and a new one may lead to a server with time.
        response.headers["connection"] = "close"
    return response


def said(
    method: str, status: HTTPStatus, sentence: str, fault: Exception | None = None
) -> JSONResponse:
    """One sentence as an answer, and as a line of the log."""
    level = logging.ERROR if fault else logging.INFO
    log.log(level, "%d %s %s", status, method, sentence, exc_info=fault)
    return JSONResponse({"error": sentence}, status_code=status)
