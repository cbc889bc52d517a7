"""The client over a real socket: what goes out, what comes in, and what it does not do."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import Configuration

from gptfl.errors import SpecError
from gptfl_operator.api import APPLY_PATCH, JSON_PATCH, ApiError, KubernetesApi, connect


@dataclass
class Server:
    """Answers what it is told to and keeps what it was asked."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    stream: Callable[[Callable[[bytes], None]], None] | None = None
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            sent = self.rfile.read(length)
            heads = {name.lower(): value for name, value in self.headers.items()}
            told.seen.append((self.command, self.path, heads, sent))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            if told.stream is None:
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            told.stream(self._chunk)
            self._chunk(b"")

        def _chunk(self, part: bytes) -> None:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield told
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def api(server: Server) -> KubernetesApi:
    configuration = Configuration()
    configuration.host = server.url
    configuration.api_key["BearerToken"] = "bearer secret"
    return KubernetesApi(configuration)


def test_a_request_is_what_it_says(server: Server, api: KubernetesApi) -> None:
    server.body = b'{"kind": "Job"}'
    assert api.request("GET", "/api/v1/pods", {"labelSelector": "a=b,c", "limit": "5"}) == {
        "kind": "Job"
    }
    [(method, path, headers, _)] = server.seen
    assert (method, path) == ("GET", "/api/v1/pods?labelSelector=a%3Db%2Cc&limit=5")
    assert headers["authorization"] == "bearer secret"
    assert headers["user-agent"] == "gptfl-operator"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", {"a": [1, None], "b": {}}),
        ("application/json", {}),
        (JSON_PATCH, [{"op": "test"}]),
        (APPLY_PATCH, {"a": [1, None], "b": {}}),
    ],
)
def test_a_body_goes_out_once_encoded_under_its_type(
    server: Server, api: KubernetesApi, content_type: str, body: Any
) -> None:
    api.request("PATCH", "/x", None, body, content_type)
    [(_, _, headers, sent)] = server.seen
    assert headers["content-type"] == content_type
    assert json.loads(sent) == body


def test_a_token_that_was_renewed_is_used(server: Server) -> None:
    configuration = Configuration()
    configuration.host = server.url
    configuration.api_key["BearerToken"] = "bearer zero"
    tokens = iter(["bearer one", "bearer two"])

    def renew(given: Configuration) -> None:
        given.api_key["BearerToken"] = next(tokens)

    configuration.refresh_api_key_hook = renew
    api = KubernetesApi(configuration)
    for _ in range(2):
        api.request("GET", "/x")
    assert [headers["authorization"] for _, _, headers, _ in server.seen] == [
        "bearer one",
        "bearer two",
    ]


def test_a_refusal_is_in_the_api_servers_words(server: Server, api: KubernetesApi) -> None:
    said = {"kind": "Status", "reason": "Invalid", "message": "spec.rounds: too many"}
    server.status, server.body = 422, json.dumps(said).encode()
    with pytest.raises(ApiError, match=r"spec\.rounds: too many") as caught:
        api.request("PATCH", "/x", None, {}, APPLY_PATCH)
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert caught.value.is_refusal


def test_an_answer_in_no_words_is_an_error_too(server: Server, api: KubernetesApi) -> None:
    server.status, server.body = 502, b"<html>bad gateway</html>"
    with pytest.raises(ApiError, match="bad gateway") as caught:
        api.request("GET", "/x")
    assert not caught.value.is_refusal


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_when_to_ask_again_is_for_the_queue_to_say(
    server: Server, api: KubernetesApi, method: str
) -> None:
    server.status, server.headers = 429, {"Retry-After": "3600"}
    with pytest.raises(ApiError) as caught:
        api.request(method, "/x", None, {} if method == "PATCH" else None)
    assert caught.value.status == 429
    assert len(server.seen) == 1


def test_nobody_there_is_an_answer_of_its_own() -> None:
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:1"
    with pytest.raises(ApiError, match="does not answer") as caught:
        KubernetesApi(configuration).request("GET", "/x")
    assert (caught.value.status, caught.value.is_refusal) == (0, False)


def test_lines_come_as_they_are_sent_however_they_are_cut(
    server: Server, api: KubernetesApi
) -> None:
    heard, go_on = threading.Event(), threading.Event()

    def send(part: Callable[[bytes], None]) -> None:
        part(b'{"a": 1}\n{"b"')
        go_on.wait(10)
        part(b": 2}\n\n")
        part(b'{"cut off"')

    server.stream = send
    lines = api.stream("/x", {"watch": "1"}, 60)
    assert next(lines) == b'{"a": 1}'
    heard.set()
    go_on.set()
    assert list(lines) == [b'{"b": 2}'], "half a line is none"


def test_a_watch_that_hears_nothing_ends(server: Server, api: KubernetesApi) -> None:
    go_on = threading.Event()
    server.stream = lambda part: (part(b"{}\n"), go_on.wait(10), None)[-1]
    lines = api.stream("/x", {}, 0.05)
    assert next(lines) == b"{}"
    with pytest.raises(ApiError, match="does not answer"):
        next(lines)
    go_on.set()


def test_a_watch_that_is_refused_is_refused_at_once(server: Server, api: KubernetesApi) -> None:
    server.status, server.body = 410, b'{"reason": "Expired", "message": "too old"}'
    with pytest.raises(ApiError) as caught:
        next(iter(api.stream("/x", {}, 60)))
    assert caught.value.status == 410


def test_a_kubeconfig_says_where(server: Server, tmp_path: Path) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "of-the-file"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    connect(file, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).request("GET", "/x")
    assert server.seen[0][2]["authorization"].lower() == "bearer of-the-file"


def test_without_an_api_server_one_is_told_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(SpecError, match=r"^--kubeconfig: .*; name one or run in a pod$"):
        connect(file, {})
