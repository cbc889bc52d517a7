"""Servers as processes of their own: models from buckets, and a stop under load."""

import asyncio
import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from s3_buckets import new_place
from servers import Process, S3Server, free_port, gptfl_command, wait_until

from gptfl.models.build import build_model
from gptfl.models.config import CONFIG_NAME, WEIGHTS_NAME
from gptfl.models.folder import model_config, model_files
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape, TaskSpec
from gptfl.store import Artifact, RunStatus, Store, Workspace, open_store
from gptfl.store.runs import Phase, StepStatus

SHAPE = ImageShape(channels=1, height=8, width=8)
TASK = TaskSpec(labels=["one", "two", "three"], image=SHAPE)
PIXELS = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
V1 = {"instances": [PIXELS[0].tolist()]}


def files() -> dict[str, bytes]:
    """A small random model."""
    spec = ModelSpec(source="builtin://small-cnn")
    module = build_model(spec, SHAPE, len(TASK.labels), seed=1, folder=Path())
    return model_files(model_config(TASK, spec, module), module.state_dict())


def export(store: Store) -> Artifact:
    """What the stage leaves in a store."""
    key = hashlib.sha256(b"served").hexdigest()
    made = Workspace(store.blobs, "serving", key, seed=0, folder=Path())
    for name, data in files().items():
        made.write(name, data)
    return store.commit(
        made,
        stage="serving",
        version=1,
        key=key,
        section={},
        inputs={},
        metrics={},
        seconds=0.0,
        software={},
    )


class Server(Process):
    """`gptfl serve` with both protocols."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str]) -> None:
        self.port, rpc_port = free_port(), free_port()
        self.url, self.rpc = f"http://127.0.0.1:{self.port}", f"127.0.0.1:{rpc_port}"
        super().__init__(
            [
                *gptfl_command("serve", *options),
                *("--port", str(self.port), "--grpc-port", str(rpc_port)),
            ],
            folder / "serve.log",
            environment={
                "OMP_NUM_THREADS": "1",
                "GPTFL_CACHE": str(folder / "cache"),
                **environment,
            },
        )

    def __enter__(self) -> Self:
        self.start()
        try:
            # It imports torch and KServe, which takes long on a machine that is busy.
            wait_until(lambda: self._is_ready() or not self.is_alive, "the start", seconds=240)
            assert self.is_alive, self.output
        except BaseException:
            self.kill()
            raise
        return self

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def predictions(self, name: str) -> Any:
        answer = httpx.post(f"{self.url}/v1/models/{name}:predict", json=V1)
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]


def received(server: Server) -> float:
    """Bytes that came from the bucket, as the server's own metrics have it."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    name = "gptfl_store_received_bytes_total "
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.fixture
def place(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in a bucket of each S3 server, with what is needed to reach it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return new_place(s3_server)


def test_the_model_of_a_run_and_its_folder_are_served_from_a_bucket(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "writer"))
    store = open_store(place)
    artifact = export(store)
    step = StepStatus(name="serving", stage="serving", key=artifact.key)
    store.run_folder("default", "digits", "1").write_status(
        RunStatus(
            namespace="default",
            name="digits",
            uid="1",
            phase=Phase.SUCCEEDED,
            started=datetime.now(UTC),
            steps=(step,),
        )
    )
    empty = {**os.environ, "GPTFL_CACHE": str(tmp_path / "empty")}
    with Server(tmp_path, "digits", "--store", place, environment=empty) as of_run:
        expected = of_run.predictions("digits")
        assert received(of_run) >= len(files()[WEIGHTS_NAME])
    options = ("--model", artifact.uri, "--name", "other")
    fresh = {**os.environ, "GPTFL_CACHE": str(tmp_path / "fresh")}
    with Server(tmp_path, *options, environment=fresh) as of_folder:
        assert of_folder.predictions("other") == expected
        assert received(of_folder) >= len(files()[WEIGHTS_NAME])


def test_a_folder_that_somebody_copied_into_a_bucket_is_served_without_a_record(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "writer"))
    blobs = open_store(place).blobs
    for name, data in files().items():
        blobs.write(f"models/mine/{name}", data)
    options = ("--model", f"{place}/models/mine/")
    with Server(tmp_path, *options, environment=os.environ) as server:
        assert len(server.predictions("model")) == 1


def refusal(uri: str, cache: Path) -> str:
    done = subprocess.run(
        gptfl_command("serve", "--model", uri, "--port", str(free_port())),
        env={**os.environ, "GPTFL_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_a_file_in_the_bucket_that_is_not_what_the_record_says_is_not_served(
    place: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "writer"))
    store = open_store(place)
    artifact = export(store)
    data = files()[name]
    store.blobs.write(f"{artifact.prefix}/{name}", data[:-1] + bytes([data[-1] ^ 1]))

    said = refusal(artifact.uri, tmp_path / "cache")

    assert f"{name}: is damaged (sha256 " in said
    assert len(said.splitlines()) == 1


def test_a_place_without_a_model_is_said_in_one_line(place: str, tmp_path: Path) -> None:
    said = refusal(f"{place}/nothing", tmp_path / "cache")
    assert said.endswith(
        f"{place}/nothing/config.json: is missing; name the folder of an exported model\n"
    )


@contextmanager
def loaded_server(folder: Path, *options: str) -> Iterator[Server]:
    model = folder / "model"
    model.mkdir()
    for name, data in files().items():
        (model / name).write_bytes(data)
    with Server(folder, "--model", str(model), *options, environment={}) as server:
        yield server


class Load:
    """Clients of both protocols that ask until the server is gone, and what became of it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.ends: Counter[str] = Counter()
        self.odd: list[str] = []
        self.refused: list[float] = []
        """When those were told so who were not answered."""
        self.told = False
        """Whether the server has been told to stop."""

    async def http(self) -> None:
        async with httpx.AsyncClient(base_url=self._server.url, timeout=60) as client:
            while True:
                asked_after = self.told
                try:
                    answer = await client.post("/v1/models/model:predict", json=V1)
                except httpx.ConnectError:
                    return self._end("http refused", allowed=self.told)
                except httpx.TransportError as error:
                    # A kept connection that the server had closed already when this was sent.
                    return self._end(f"http {type(error).__name__}", allowed=asked_after)
                self._end(f"http {answer.status_code}", allowed=answer.status_code in (200, 503))
                if answer.status_code == 503:
                    assert answer.headers["retry-after"] == "1"
                    assert self.told, "a server that nobody stops has refused"

    async def rpc(self) -> None:
        pixels = pb.ModelInferRequest.InferInputTensor(
            name="pixels", datatype="UINT8", shape=PIXELS.shape
        )
        asked = pb.ModelInferRequest(
            model_name="model", inputs=[pixels], raw_input_contents=[PIXELS.tobytes()]
        )
        options = [("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(self._server.rpc, options=options) as channel:
            stub = GRPCInferenceServiceStub(channel)
            while True:
                asked_after = self.told
                try:
                    await stub.ModelInfer(asked)
                    self._end("grpc 200", allowed=True)
                except grpc.aio.AioRpcError as error:
                    is_end = error.code() is grpc.StatusCode.UNAVAILABLE and self.told
                    # gRPC's word for a call that came in just as its server stopped.
                    is_end = is_end or (error.code() is grpc.StatusCode.CANCELLED and asked_after)
                    self._end(f"grpc {error.code().name} {error.details()}", allowed=is_end)
                    if not is_end or "not ready" not in (error.details() or ""):
                        return

    def _end(self, what: str, *, allowed: bool) -> None:
        self.ends[what] += 1
        if not what.endswith(" 200"):
            self.refused.append(time.monotonic())
        if not allowed:
            self.odd.append(what)


def test_a_stop_under_load_breaks_off_no_request(tmp_path: Path) -> None:
    with loaded_server(tmp_path) as server:
        load = Load(server)

        async def run() -> None:
            async with asyncio.TaskGroup() as clients:
                for _ in range(8):
                    clients.create_task(load.http())
                    clients.create_task(load.rpc())
                while min(load.ends["http 200"], load.ends["grpc 200"]) < 100:
                    await asyncio.sleep(0.01)
                load.told = True
                server.signal(signal.SIGTERM)

        asyncio.run(asyncio.wait_for(run(), timeout=120))
        assert server.wait() == 0
    assert load.odd == [], load.ends
    assert load.ends["http 503"] > 0
    assert "Traceback" not in server.output
    assert server.output.splitlines()[-1].endswith("INFO stopped")
