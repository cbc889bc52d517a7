"""What KServe's protocols cost: `gptfl serve` against a bare FastAPI handler of the same model.

Both are one process with one thread for torch, on the same host; the load is a closed loop of raw
HTTP over kept connections, or of gRPC calls over as many channels, from a process beside them. It
shares the processors, of which gRPC's client needs more than raw HTTP does. Ratios are of
neighbouring runs, so that a host that is busy with other things spoils both sides alike; what it
spoils least is the processor time.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

NAME = "digits"
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class Server:
    """A process that answers."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int

    def cpu_seconds(self) -> float:
        """What it has used of the processor since it started."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One closed loop of requests."""

    rate: float
    """Requests a second."""
    p99: float
    """Milliseconds."""
    cpu: float
    """Milliseconds of the server's processor time a request."""


def serve_gptfl(folder: Path, port: int, grpc_port: int) -> None:
    """What is measured."""
    from gptfl.serving.server import serve

    serve(folder, name=NAME, port=port, grpc_port=grpc_port)


def serve_bare(folder: Path, port: int, grpc_port: int) -> None:
    """The least that answers a v1 request with the same model: no checks, no limits, no metrics."""
    import torch
    import uvicorn
    from fastapi import FastAPI, Request

    from gptfl.data.images import decode_image
    from gptfl.models.folder import load_classifier

    torch.set_num_threads(1)
    classifier = load_classifier(folder)
    labels, shape = classifier.config.labels, classifier.config.image
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> bool:
        return True

    @app.post(f"/v1/models/{NAME}:predict")
    async def predict(request: Request) -> dict[str, list[dict[str, object]]]:
        body = await request.json()
        encoded = [instance["image_bytes"]["b64"] for instance in body["instances"]]
        images = torch.stack([decode_image(base64.b64decode(one), shape) for one in encoded])
        return {
            "predictions": [
                {
                    "label": labels[int(row.argmax())],
                    "probabilities": dict(zip(labels, row.tolist(), strict=True)),
                }
                for row in classifier.predict(images)
            ]
        }

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


SERVERS = {"gptfl": serve_gptfl, "bare": serve_bare}


def write_model(folder: Path) -> None:
    """The built-in small CNN at 16 x 16 grey pixels; weights are random."""
    from gptfl.models.build import build_model
    from gptfl.models.folder import model_config, save_model
    from gptfl.spec.pretraining import ModelSpec
    from gptfl.spec.task import ImageShape, TaskSpec

    task = TaskSpec(labels=LABELS, image=ImageShape(channels=1, height=16, width=16))
    module = build_model(ModelSpec(), task.image, len(LABELS), seed=0, folder=folder)
    save_model(folder, model_config(task, ModelSpec(), module), module.state_dict())


@contextlib.contextmanager
def started(kind: str, folder: Path) -> Iterator[Server]:
    """A server that is ready."""
    port, grpc_port = free_port(), free_port()
    ports = ("--port", str(port), "--grpc-port", str(grpc_port))
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", kind, "--model", str(folder), *ports],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready").close()
                break
            time.sleep(0.1)
        yield Server(process, port, grpc_port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def requests(images: int) -> dict[str, bytes]:
    """The same images in v1 and in v2, as the bytes of whole HTTP requests, and as a message."""
    import numpy as np
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from PIL import Image

    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    encoded = [base64.b64encode(file.getvalue()).decode()] * images
    v1 = {"instances": [{"image_bytes": {"b64": one}} for one in encoded]}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [images], "data": encoded}
    call = pb.ModelInferRequest(model_name=NAME)
    contents = {"bytes_contents": [file.getvalue()] * images}
    call.inputs.add(name="image", datatype="BYTES", shape=[images], contents=contents)
    return {
        "grpc": call.SerializeToString(),
        "v1": _post(f"/v1/models/{NAME}:predict", v1),
        "v2": _post(f"/v2/models/{NAME}/infer", {"inputs": [tensor]}),
    }


def _post(path: str, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


Client = Callable[[Server, bytes, int], Coroutine[None, None, list[float]]]


def measure(
    server: Server, request: bytes, connections: int, count: int, client: Client | None = None
) -> Measured:
    """`count` requests over `connections` kept connections, each sending when it was answered."""
    cpu = server.cpu_seconds()
    began = time.perf_counter()
    taken = sorted(asyncio.run(_all(server, request, connections, count, client or _http)))
    rate = len(taken) / (time.perf_counter() - began)
    cpu_each = (server.cpu_seconds() - cpu) / len(taken) * 1000
    return Measured(rate, taken[int(len(taken) * 0.99)] * 1000, cpu_each)


async def _all(
    server: Server, request: bytes, connections: int, count: int, client: Client
) -> list[float]:
    each = [client(server, request, count // connections) for _ in range(connections)]
    return [seconds for part in await asyncio.gather(*each) for seconds in part]


async def _http(server: Server, request: bytes, count: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(head.decode())
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        taken.append(time.perf_counter() - began)
    writer.close()
    return taken


async def _grpc(server: Server, request: bytes, count: int) -> list[float]:
    taken = []
    # A connection of its own for each, as over HTTP.
    options = [("grpc.use_local_subchannel_pool", 1)]
    address = f"127.0.0.1:{server.grpc_port}"
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(count):
            began = time.perf_counter()
            await ask(request)
            taken.append(time.perf_counter() - began)
    return taken


def compare(folder: Path, repeats: int, count: int) -> None:
    """Prints medians, and the ratios to the bare handler."""
    with started("gptfl", folder) as ours, started("bare", folder) as bare:
        for connections, images in ((1, 1), (8, 1), (32, 1), (8, 32)):
            sent = requests(images)
            some = max(count // images, 10 * connections)
            rounds = [
                {
                    "bare": measure(bare, sent["v1"], connections, some),
                    "gptfl v1": measure(ours, sent["v1"], connections, some),
                    "gptfl v2": measure(ours, sent["v2"], connections, some),
                    "gptfl grpc": measure(ours, sent["grpc"], connections, some, _grpc),
                }
                for _ in range(repeats)
            ]
            print(f"{connections} connections, {images} images a request")
            for name in rounds[0]:
                print(_line(name, rounds))


def _line(name: str, rounds: list[dict[str, Measured]]) -> str:
    def median(field: str) -> float:
        return statistics.median(float(getattr(each[name], field)) for each in rounds)

    def ratio(field: str) -> float:
        return statistics.median(
            float(getattr(each[name], field)) / float(getattr(each["bare"], field))
            for each in rounds
        )

    return (
        f"  {name:10} {median('rate'):6.0f}/s ({ratio('rate'):.2f}x)   "
        f"p99 {median('p99'):6.1f} ms ({ratio('p99'):.2f}x)   "
        f"processor {median('cpu'):5.2f} ms a request ({ratio('cpu'):.2f}x)"
    )


def main() -> None:
    """Compares; with `--serve`, is one of the two servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder; a random one when left out")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--grpc-port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        SERVERS[arguments.serve](arguments.model, arguments.port, arguments.grpc_port)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.model or Path(made)
        if arguments.model is None:
            write_model(folder)
        compare(folder, arguments.repeats, arguments.requests)


if __name__ == "__main__":
    main()
