"""Certificates and probes are made by the shell, because a decision has no dice and no network."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from cryptography import x509

from gptfl_operator.identities import made_secret
from gptfl_operator.model import (
    KEEPS_VALUES_LABEL,
    TOKEN_DIGEST,
    CertificateRequest,
    CertificateUse,
    ProbeRequest,
)
from gptfl_operator.trials import PAUSE, Trials, try_revision

RUN = ("lab", "digits")


def secret(name: str) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": name, "labels": {"a": "b"}}}


def content(given: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(given["data"][name])


@pytest.fixture(scope="module")
def authority() -> dict[str, Any]:
    request = CertificateRequest(CertificateUse.AUTHORITY, secret("ca"), common_name="lab/digits")
    return made_secret(request, None)


def test_an_authority_can_be_read_again(authority: dict[str, Any]) -> None:
    assert authority["metadata"]["labels"] == {"a": "b", KEEPS_VALUES_LABEL: "true"}
    certificate = x509.load_pem_x509_certificate(content(authority, "ca.crt"))
    certificate.verify_directly_issued_by(certificate)


def test_a_server_is_known_by_its_names(authority: dict[str, Any]) -> None:
    request = CertificateRequest(
        CertificateUse.SERVER, secret("s"), "ca", "server", ("digits.lab.svc", "10.0.0.1")
    )
    made = made_secret(request, authority)
    assert set(made["data"]) == {"ca.crt", "server.crt", "server.key"}
    assert KEEPS_VALUES_LABEL not in made["metadata"]["labels"]
    certificate = x509.load_pem_x509_certificate(content(made, "server.crt"))
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(content(authority, "ca.crt"))
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["digits.lab.svc"]


def test_a_client_has_a_token_whose_digest_stands_outside(authority: dict[str, Any]) -> None:
    request = CertificateRequest(CertificateUse.CLIENT, secret("c"), "ca", "north")
    made, other = made_secret(request, authority), made_secret(request, authority)
    assert set(made["data"]) == {"ca.crt", "client.crt", "client.key", "token"}
    token = content(made, "token")
    assert made["metadata"]["annotations"][TOKEN_DIGEST] == hashlib.sha256(token).hexdigest()
    assert token != content(other, "token")
    assert request.secret == secret("c"), "what is asked for is not changed"


class Model(BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def model() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/models/digits:predict"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, json.dumps({"predictions": [1]}), ""),
        (200, json.dumps({"predictions": []}), "without the 1 predictions"),
        (200, json.dumps([1]), "without the 1 predictions"),
        (200, "<html>", "not JSON"),
        (503, "still\nloading", "503: still loading"),
    ],
)
def test_only_an_answer_that_answers_is_good(
    model: str, monkeypatch: pytest.MonkeyPatch, status: int, body: str, said: str
) -> None:
    monkeypatch.setattr(Model, "status", status)
    monkeypatch.setattr(Model, "body", body.encode())
    answer = try_revision(ProbeRequest("digits-1", model, {"instances": [1]}))
    assert said in answer
    assert bool(answer) == bool(said)


def test_nobody_there_is_said() -> None:
    request = ProbeRequest("digits-1", "http://127.0.0.1:1/", {})
    assert "does not answer" in try_revision(request)


class Asked:
    """Probes whose answers a test gives."""

    def __init__(self) -> None:
        self.seconds, self.made = 0.0, 0
        self.hold = threading.Event()
        self.news = threading.Semaphore(0)
        self.trials = Trials(self._attempt, ThreadPoolExecutor(2), lambda: self.seconds)

    def _attempt(self, request: ProbeRequest) -> str:
        self.hold.wait(10)
        self.made += 1
        return f"answer {self.made}"

    def ask(self) -> float | None:
        return self.trials.ask(RUN, "u", [ProbeRequest("r", "http://x", {})], self.news.release)


def test_a_model_that_hangs_keeps_nobody_waiting_and_is_asked_once() -> None:
    asked = Asked()
    for _ in range(3):
        assert asked.ask() is None
    assert asked.trials.answers(RUN, "u") == {}
    asked.hold.set()
    assert asked.news.acquire(timeout=10), "the run is looked at when the answer is there"
    assert asked.trials.answers(RUN, "u") == {"r": "answer 1"}


def test_a_model_is_asked_again_after_a_pause() -> None:
    asked = Asked()
    asked.hold.set()
    asked.ask()
    assert asked.news.acquire(timeout=10)
    assert asked.ask() == PAUSE
    asked.seconds = PAUSE
    assert asked.ask() is None
    assert asked.news.acquire(timeout=10)
    assert asked.trials.answers(RUN, "u") == {"r": "answer 2"}


def test_a_run_of_the_same_name_has_revisions_of_its_own() -> None:
    asked = Asked()
    asked.hold.set()
    asked.ask()
    assert asked.news.acquire(timeout=10)
    assert asked.trials.answers(RUN, "another") == {}


def test_nothing_is_kept_of_a_run_that_is_gone() -> None:
    asked = Asked()
    asked.hold.set()
    asked.ask()
    assert asked.news.acquire(timeout=10)
    asked.trials.forget(RUN)
    assert asked.trials.answers(RUN, "u") == {}
