"""The HTTP application in this process: too many requests, slow bodies, faults, and its end."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry
from served_model import digit
from starlette.types import ASGIApp

from gptfl.models.folder import Classifier
from gptfl.serving import predictor as predictor_module
from gptfl.serving.app import create_app
from gptfl.serving.body import BODY_LIMITS, BodyLimits, Room
from gptfl.serving.counting import Counting
from gptfl.serving.models import OneModel
from gptfl.serving.predictor import Limits, Predictor

PREDICT = "/v1/models/digits:predict"
LIMITS = Limits()
BODY = {"instances": [digit(0).tolist()]}
PROBES = ("/v2/health/ready", "/v2/models/digits/ready", "/v1/models/digits")


@dataclass(frozen=True)
class Served:
    """An application without a port."""

    predictor: Predictor
    dataplane: OneModel
    app: ASGIApp
    registry: CollectorRegistry

    def run(self, ask: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        async def asked() -> Any:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await ask(client)

        return asyncio.run(asked())

    def count(self, outcome: str) -> float | None:
        labels = {"model": "digits", "protocol": "v1", "outcome": outcome}
        return self.registry.get_sample_value("gptfl_serving_requests_total", labels)


def served(
    folder: Path,
    limits: Limits = LIMITS,
    body: BodyLimits = BODY_LIMITS,
) -> Served:
    registry = CollectorRegistry()
    counting = Counting(registry, "digits")
    predictor = Predictor("digits", folder, counting, limits)
    predictor.load()
    dataplane = OneModel(predictor)
    app = create_app(dataplane, counting, registry, Room(body))
    return Served(predictor, dataplane, app, registry)


def test_who_is_too_many_is_told_to_come_again(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()
    real = Classifier.predict
    # So that passes run on their thread, and this one goes on asking.
    monkeypatch.setattr(predictor_module, "QUICK_BATCH_SECONDS", 0)
    server = served(model_folder, Limits(requests=2))

    def slow(self: Classifier, images: torch.Tensor) -> Any:
        begun.set()
        go.wait()
        return real(self, images)

    batcher = server.predictor._batcher
    assert batcher is not None
    classifier = batcher._predict.__self__  # type: ignore[attr-defined]
    batcher._predict = slow.__get__(classifier)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        taken = [asyncio.create_task(client.post(PREDICT, json=BODY)) for _ in range(2)]
        await asyncio.to_thread(begun.wait)
        third = await client.post(PREDICT, json=BODY)
        probe = await client.get("/v2/health/live")
        go.set()
        later = [await one for one in taken]
        return [third, probe, *later, await client.post(PREDICT, json=BODY)]

    third, probe, *others = server.run(ask)
    assert third.status_code == 503
    assert third.json() == {"error": "2 requests are in work; ask again in a second"}
    assert third.headers["retry-after"] == "1"
    assert probe.status_code == 200
    assert [answer.status_code for answer in others] == [200, 200, 200]
    assert (server.count("busy"), server.count("answered")) == (1, 3)


def test_a_server_that_was_told_to_stop_is_not_ready_and_refuses(model_folder: Path) -> None:
    server = served(model_folder)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get(path) for path in PROBES] + [
            await client.post(PREDICT, json=BODY),
            await client.get("/v2/health/live"),
        ]

    assert {answer.status_code for answer in server.run(ask)} == {200}
    server.predictor.stop()
    *refused, live = server.run(ask)
    assert [answer.status_code for answer in refused] == [503] * 4
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.headers["connection"] for answer in refused} == {"close"}
    assert live.status_code == 200


def test_a_server_that_drains_is_not_ready_and_answers(model_folder: Path) -> None:
    server = served(model_folder)
    server.dataplane.is_draining = True

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get(path) for path in PROBES] + [await client.post(PREDICT, json=BODY)]

    *probes, answer = server.run(ask)
    assert [probe.status_code for probe in probes] == [503] * 3
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_a_model_that_is_not_loaded_yet_is_not_ready(model_folder: Path) -> None:
    registry = CollectorRegistry()
    counting = Counting(registry, "digits")
    predictor = Predictor("digits", model_folder, counting, Limits())
    dataplane = OneModel(predictor)
    app = create_app(dataplane, counting, registry, Room())
    server = Served(predictor, dataplane, app, registry)

    async def ask(client: httpx.AsyncClient) -> list[int]:
        answers = [await client.get(path) for path in PROBES]
        return [answer.status_code for answer in answers]

    assert server.run(ask) == [503] * 3
    predictor.load()
    assert server.run(ask) == [200] * 3


def test_a_body_that_never_ends_is_given_up(model_folder: Path) -> None:
    server = served(model_folder, body=BodyLimits(seconds=0.05))

    async def drops() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = (PREDICT, "/v1/models/digits:explain")
        return [await client.post(path, content=drops()) for path in paths]

    for answer in server.run(ask):
        assert answer.status_code == 400
        assert answer.json() == {"error": "body: is not whole after 0.05 s; send it faster"}
        assert answer.headers["connection"] == "close"


def test_bodies_have_a_limit_together_and_whoever_has_no_room_comes_again(
    model_folder: Path,
) -> None:
    server = served(model_folder, body=BodyLimits(together=2000))
    paths = (PREDICT, "/v1/models/digits:explain")
    more = asyncio.Event()
    held = asyncio.Event()

    async def halves() -> AsyncIterator[bytes]:
        yield json.dumps(BODY).encode()
        yield b" " * 1000
        held.set()
        await more.wait()
        yield b" "

    async def ask(client: httpx.AsyncClient) -> list[list[httpx.Response]]:
        first = asyncio.create_task(client.post(PREDICT, content=halves()))
        await held.wait()
        others = [await client.post(path, content=b" " * 1500) for path in paths]
        small = await client.post(PREDICT, json=BODY)
        more.set()
        answered = [small, await first]
        # Their room is free again, as often as one likes.
        answered += [await client.post(PREDICT, content=halves()) for _ in range(3)]
        return [others, answered]

    refused, answered = server.run(ask)
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json() == {
            "error": "the bodies of other requests leave no room; ask again in a second"
        }
        assert answer.headers["retry-after"] == "1"
    assert [answer.status_code for answer in answered] == [200] * 5
    assert (server.count("busy"), server.count("answered")) == (1, 5)


def test_a_body_that_outgrows_the_room_while_it_comes_gives_back_what_it_had(
    model_folder: Path,
) -> None:
    server = served(model_folder, body=BodyLimits(together=2000))

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 500

    async def ask(client: httpx.AsyncClient) -> list[int]:
        answers = [
            await client.post(PREDICT, content=parts()),
            await client.post(PREDICT, json=BODY),
        ]
        return [answer.status_code for answer in answers]

    assert server.run(ask) == [503, 200]


def test_a_fault_of_the_server_is_logged_and_not_shown(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = served(model_folder)
    assert server.predictor._batcher is not None

    def broken(rows: torch.Tensor) -> Any:
        raise MemoryError("/secret/path")

    server.predictor._batcher._predict = broken
    with caplog.at_level(logging.INFO, "gptfl.serving"):
        answer = server.run(lambda client: client.post(PREDICT, json=BODY))
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server has failed; its log says how"}
    assert "/secret/path" in caplog.text
    assert server.count("failed") == 1


def test_a_large_image_is_decoded_aside_and_seen_like_a_small_one(model_folder: Path) -> None:
    server = served(model_folder)
    small = np.kron(digit(3), np.ones((2, 2), dtype=np.uint8))
    large = np.kron(digit(3), np.ones((64, 64), dtype=np.uint8))

    async def ask(client: httpx.AsyncClient) -> list[Any]:
        bodies = [{"instances": [image.tolist()]} for image in (small, large)]
        return [(await client.post(PREDICT, json=body)).json() for body in bodies]

    of_small, of_large = server.run(ask)
    assert of_small == of_large
    assert len(json.dumps(large.tolist())) > 2**17


def test_metrics_show_kserves_and_ours_and_the_processes(model_folder: Path) -> None:
    server = served(model_folder)

    async def ask(client: httpx.AsyncClient) -> str:
        await client.post(PREDICT, json=BODY)
        await client.post(PREDICT, content=b"{")
        return (await client.get("/metrics")).text

    text = server.run(ask)
    assert 'request_predict_seconds_count{model_name="digits"}' in text
    assert 'gptfl_serving_batch_rows_count{model="digits"} 1.0' in text
    assert 'gptfl_serving_request_seconds_count{model="digits",protocol="v1"} 1.0' in text
    assert (server.count("answered"), server.count("refused")) == (1, 1)
