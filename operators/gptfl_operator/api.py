"""The API server as raw JSON: one request, or the lines of a watch, without model classes.

The official client holds the connection and the credentials (a kubeconfig, or a service account
whose token is renewed). Its model classes, its `Watch` and its retries are left out on purpose:
`Watch` loses the resourceVersion of what it has no model of, and urllib3's retries would sleep
inside a worker where the queue can wait without one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME

from gptfl.errors import GPTFLError, SpecError
from gptfl_operator.model import MANAGER

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
REQUEST_SECONDS = (5.0, 30.0)
"""To connect, and to answer."""

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class ApiError(GPTFLError):
    """The API server said no, or nothing at all (status 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    @property
    def is_refusal(self) -> bool:
        """Whether the same request will be answered so until somebody changes something."""
        return self.status in (400, 403, 404, 405, 409, 413, 422)


class Api(Protocol):
    """What the operator needs of an API server."""

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """The answer to one request. Raises ApiError."""

    def stream(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[bytes]:
        """The lines of an answer as they come, at most so long. Raises ApiError."""


class KubernetesApi:
    """An API server over HTTP; threads may share it."""

    def __init__(self, configuration: Configuration, connections: int = 64) -> None:
        configuration.connection_pool_maxsize = connections
        configuration.retries = False
        configuration.keep_alive = True  # a watch on a dead connection would hear nothing for ever
        self._client = ApiClient(configuration)
        self._client.user_agent = MANAGER

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        answer = self._call(
            method, _url(path, query), body=body, content_type=content_type, timeout=REQUEST_SECONDS
        )
        try:
            found: dict[str, Any] = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise _no_answer(error) from error
        except ValueError as error:
            raise ApiError(0, "Malformed", f"{method} {path}: the answer is not JSON") from error
        return found

    def stream(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[bytes]:
        answer = self._call("GET", _url(path, query), timeout=(REQUEST_SECONDS[0], seconds))
        begun = b""
        try:
            for chunk in answer.stream(amt=None):
                *lines, begun = (begun + chunk).split(b"\n")
                yield from filter(None, lines)
        except urllib3.exceptions.HTTPError as error:
            raise _no_answer(error) from error
        finally:
            answer.close()

    def _call(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        body: Body | None = None,
        content_type: str = JSON,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": JSON, "Content-Type": content_type}
        # Without the body, which it would copy value by value.
        _, full, headers, _, _ = self._client.param_serialize(
            method, url, header_params=headers, auth_settings=["BearerToken"]
        )
        # What is no JSON by its media type is sent as it is; else the client makes the text.
        text = json.dumps(body) if body is not None and content_type == APPLY_PATCH else body
        try:
            answer: urllib3.BaseHTTPResponse = self._client.call_api(
                method, full, headers, text, _request_timeout=timeout
            ).response
            if answer.status < 300:
                return answer
            data = answer.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _no_answer(error) from error
        raise _refusal(answer.status, data, f"{method} {url}")


def _url(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _no_answer(error: Exception) -> ApiError:
    return ApiError(0, "Unreachable", f"the API server does not answer: {error}")


def _refusal(status: int, data: bytes, request: str) -> ApiError:
    """The error in the API server's own words, which are one `Status` object."""
    try:
        said = json.loads(data)
        return ApiError(status, said.get("reason") or str(status), said.get("message") or request)
    except (ValueError, AttributeError):
        text = data[:200].decode(errors="replace").strip()
        return ApiError(status, str(status), f"{request}: {text or status}")


def connect(kubeconfig: Path | None, environment: Mapping[str, str]) -> KubernetesApi:
    """The API server of a kubeconfig; without one, that of the pod, or of the user's kubeconfig.

    Raises SpecError when there is none.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and SERVICE_HOST_ENV_NAME in environment:
            load_incluster_config(client_configuration=configuration)
        else:
            load_kube_config(
                str(kubeconfig) if kubeconfig else None, client_configuration=configuration
            )
    except (ConfigException, OSError) as error:
        raise SpecError.of(
            "--kubeconfig", f"{str(error).splitlines()[0]}; name one or run in a pod"
        ) from error
    return KubernetesApi(configuration)
