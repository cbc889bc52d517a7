"""A small random model and a server of it in a process of its own, for the tests beside this."""

import base64
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from gptfl.models.build import build_model
from gptfl.models.folder import model_config, save_model
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape, TaskSpec

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SHAPE = ImageShape(channels=1, height=8, width=8)
TASK = TaskSpec(labels=LABELS, image=SHAPE)


def write_model(folder: Path) -> Path:
    """A classifier of eight by eight grey pixels with random weights."""
    model = ModelSpec(source="builtin://small-cnn")
    module = build_model(model, SHAPE, len(LABELS), seed=1, folder=folder)
    save_model(folder, model_config(TASK, model, module), module.state_dict())
    return folder


def digit(index: int) -> NDArray[np.uint8]:
    """A real handwritten digit, uint8 [8, 8]."""
    pixels = load_digits().images[index] * 255 / 16
    return np.asarray(pixels.round().astype(np.uint8))


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Served:
    """A server that is ready, and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    rpc_address: str

    @property
    def port(self) -> int:
        port = self.client.base_url.port
        assert port is not None
        return port


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """`gptfl serve`, killed when it is still there at the end."""
    port, rpc_port = free_port(), free_port()
    command = ["gptfl", "serve", "--model", str(folder), "--name", "digits", *options]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--grpc-port", str(rpc_port)],
        executable=Path(sys.executable).parent / "gptfl",
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(process, client)
            yield Served(process, client, f"127.0.0.1:{rpc_port}")
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_until_ready(process: subprocess.Popen[str], client: httpx.Client) -> None:
    while process.poll() is None:
        try:
            client.get("/v2/models/digits/ready").raise_for_status()
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server has ended: {process.communicate()[1]}")
