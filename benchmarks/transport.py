"""The federation's streams: rate of a large model, memory by clients, overhead of a round.

    python benchmarks/transport.py rate      a 400 MB model each way against raw TCP in the same run
    python benchmarks/transport.py memory    the aggregator's peak with 10, 100 and 1,000 clients
    python benchmarks/transport.py round     ten clients, a small model, mTLS

Clients are processes of their own and do nothing but answer; `memory` has many in one.
"""

import argparse
import asyncio
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc.aio
import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from gptfl.federation.arrays import decode, encode
from gptfl.federation.network import (
    ClientIdentity,
    ServerSecurity,
    StreamGrid,
    StreamSettings,
    client_identity,
    issue_client,
    issue_server,
    make_authority,
    open_stream_grid,
    serve_tasks,
)
from gptfl.federation.network.blocks import REPLY_FRAME
from gptfl.federation.network.channels import client_options
from gptfl.federation.network.codec import Packed, pack
from gptfl.federation.network.frames import (
    METHOD,
    PROTOCOL,
    Chunk,
    End,
    Grant,
    Hello,
    Ready,
    Task,
    Want,
    pack_chunk,
    pack_frame,
    unpack_frame,
)

MB = 1_000_000
KIB = 1024


def model(size: int, arrays: int = 20) -> RecordDict:
    """Random numbers of about `size` bytes."""
    numbers = np.random.default_rng(0)
    each = size // arrays // 4
    weights = {f"w{i}": numbers.standard_normal(each, np.float32) for i in range(arrays)}
    return RecordDict({"arrays": encode(weights)})


# --- rate -----------------------------------------------------------------------------------------


def raw_rate(size: int, *, hot: bool) -> float:
    """MB/s of TCP over loopback between two processes, into memory that is new, or the same MiB."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, __file__, "_sink", f"{port}", f"{size}", f"{int(hot)}"]
        with subprocess.Popen(command) as sink:
            connection, _ = listener.accept()
            data = np.random.default_rng(0).bytes(1 << 20 if hot else size)
            began = time.perf_counter()
            for _ in range(size // len(data)):
                connection.sendall(data)
            connection.recv(1)
            seconds = time.perf_counter() - began
            connection.close()
            sink.wait()
    return size // len(data) * len(data) / MB / seconds


def sink(port: int, size: int, hot: bool) -> None:
    """The other end of `raw_rate`."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        total = size // (1 << 20) * (1 << 20) if hot else size
        memory = memoryview(bytearray(1 << 20 if hot else size))
        came = 0
        while came < total:
            at = 0 if hot else came
            came += connection.recv_into(memory[at : at + (1 << 20)])
        connection.sendall(b"x")


def stream_rate(size: int, repeat: int, folder: Path | None) -> tuple[float, float]:
    """MB/s down and up, the best of some rounds; `folder` holds what mTLS needs."""
    with aggregator(["a"], folder) as grid, echoing(grid, ["a"], folder) as clients:
        list(grid.send_and_receive([Message(model(1000), 1, "train")]))
        clients[0].stdout.readline()
        content = model(size)
        down, up = [], []
        for _ in range(repeat):
            began = time.time()
            for reply in grid.send_and_receive([Message(content, 1, "train")]):
                ended = time.time()
                del reply
            there = float(clients[0].stdout.readline())
            down.append(size / MB / (there - began))
            up.append(size / MB / (ended - there))
    return max(down), max(up)


def rate(size: int, repeat: int) -> None:
    """Prints the table of rates."""
    fresh = max(raw_rate(size, hot=False) for _ in range(repeat))
    hot = max(raw_rate(size, hot=True) for _ in range(repeat))
    print(f"{'':28}{'MB/s':>8}{'of raw':>8}{'of raw, same MiB':>18}")
    print(f"{'raw TCP, memory to memory':28}{fresh:8.0f}{1:8.2f}{fresh / hot:18.2f}")
    print(f"{'raw TCP, the same MiB':28}{hot:8.0f}{hot / fresh:8.2f}{1:18.2f}")
    with tempfile.TemporaryDirectory() as folder:
        for name, pki in (("plain", None), ("mTLS", prepare(Path(folder), ["a"]))):
            for way, found in zip(("down", "up"), stream_rate(size, repeat, pki), strict=True):
                label = f"stream, {name}, {way}"
                print(f"{label:28}{found:8.0f}{found / fresh:8.2f}{found / hot:18.2f}")


# --- round ----------------------------------------------------------------------------------------


def rounds(clients: int, parameters: int, repeat: int) -> None:
    """Prints the seconds of a round in which clients do nothing."""
    names = [f"c{index}" for index in range(clients)]
    with tempfile.TemporaryDirectory() as folder:
        pki = prepare(Path(folder), names)
        with aggregator(names, pki) as grid, echoing(grid, names, pki):
            content = model(4 * parameters)
            seconds = []
            for _ in range(repeat + 1):
                began = time.perf_counter()
                messages = [Message(content, node, "train") for node in grid.get_node_ids()]
                for reply in grid.send_and_receive(messages):
                    assert reply.has_content()
                seconds.append(time.perf_counter() - began)
    kept = sorted(seconds[1:])
    median = statistics.median(kept)
    print(f"{clients} clients, {parameters} parameters, mTLS: {median:.3f} s a round", end=" ")
    print(f"(median of {repeat}; {kept[0]:.3f} to {kept[-1]:.3f})")


# --- memory ---------------------------------------------------------------------------------------


def memory(counts: list[int], size: int) -> None:
    """Prints the aggregator's peak for each number of clients, in a process of its own each."""
    print(f"{'clients':>8}{'MB each way':>13}{'peak MB above start':>21}{'s':>8}")
    for clients in counts:
        command = [sys.executable, __file__, "_peak", f"{clients}", f"{size}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak, seconds = map(float, done.stdout.split())
        print(f"{clients:8}{size / MB:13.0f}{peak:21.0f}{seconds:8.1f}", flush=True)


def peak(clients: int, size: int) -> None:
    """One round with a sum over all replies, as FedAvg makes it."""
    names = [f"c{index}" for index in range(clients)]
    with aggregator(names, None) as grid:
        content = model(size)
        total = {name: values.copy() for name, values in decode(content["arrays"]).items()}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        command = [sys.executable, __file__, "_crowd", grid.address, f"{clients}", f"{size}"]
        with subprocess.Popen(command):
            began = time.perf_counter()
            messages = [Message(content, node, "train") for node in grid.get_node_ids()]
            for reply in grid.send_and_receive(messages):
                for name, values in decode(reply.content["arrays"]).items():
                    total[name] += values
            seconds = time.perf_counter() - began
            grid.dismiss()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) * KIB / MB, seconds)


async def crowd(address: str, clients: int, size: int) -> None:
    """Clients that throw away what they get and all send the same reply."""
    reply = pack(model(size), {})
    async with asyncio.TaskGroup() as group:
        for index in range(clients):
            group.create_task(one_of_crowd(address, f"c{index}", reply))


async def one_of_crowd(address: str, name: str, reply: Packed) -> None:
    """A client of the fewest lines."""
    async with grpc.aio.insecure_channel(address, client_options(60)) as channel:
        call = channel.stream_stream(METHOD)()
        await call.write(pack_frame(Hello(protocol=PROTOCOL, name=name, token="")))
        left = 0
        asked = ""
        while True:
            match unpack_frame(await call.read()):
                case Task(id=asked, header=header, payload=payload):
                    left = header + payload
                    await call.write(pack_frame(Want(id=asked, transfer=1, offset=0)))
                case Chunk(data=data):
                    left -= len(data)
                    if not left:
                        sizes = {"header": len(reply.header), "payload": reply.payload}
                        await call.write(pack_frame(Ready(id=asked, edition="e", **sizes)))
                case Grant(transfer=transfer):
                    for at in range(0, reply.size, REPLY_FRAME):
                        await call.write(pack_chunk(transfer, at, reply.pieces(at, REPLY_FRAME)))
                case End():
                    call.cancel()
                    return


# --- what they share ------------------------------------------------------------------------------


def prepare(folder: Path, names: list[str]) -> Path:
    """Certificates and tokens."""
    make_authority(folder)
    issue_server(folder, ["127.0.0.1"])
    for name in names:
        issue_client(folder, name)
    return folder


@contextmanager
def aggregator(names: list[str], folder: Path | None) -> Iterator[StreamGrid]:
    """The streams' other end, in this process."""
    security = None
    if folder is not None:
        files = ("ca.crt", "server.crt", "server.key", "tokens.json")
        security = ServerSecurity(*(folder / name for name in files))
    settings = StreamSettings(stall_seconds=300)
    with open_stream_grid("127.0.0.1:0", names, security, settings=settings) as grid:
        yield grid


@contextmanager
def echoing(
    grid: StreamGrid, names: list[str], folder: Path | None
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Clients that send back what they get; each says when a task is there."""
    home = "-" if folder is None else str(folder)
    command = [sys.executable, __file__, "_client", grid.address, home]
    made = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in names]
    try:
        yield made
        grid.dismiss()
    finally:
        for client in made:
            client.terminate()
            client.communicate()


def echo(address: str, folder: str, name: str) -> None:
    """A client that sends back what it gets."""

    def make_app(terms: bytes, node: int) -> ClientApp:
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            print(time.time(), flush=True)
            return Message(RecordDict({**message.content}), reply_to=message)

        return app

    home = Path(folder) / "clients" / name
    identity = ClientIdentity(name) if folder == "-" else client_identity(home, name)
    serve_tasks(address, identity, make_app)


def main() -> int:
    """Runs one of the benchmarks, or all."""
    helpers = {
        "_sink": lambda port, size, hot: sink(int(port), int(size), hot == "1"),
        "_peak": lambda clients, size: peak(int(clients), int(size)),
        "_crowd": lambda at, clients, size: asyncio.run(crowd(at, int(clients), int(size))),
        "_client": echo,
    }
    if len(sys.argv) > 1 and sys.argv[1] in helpers:
        helpers[sys.argv[1]](*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what", nargs="?", choices=["rate", "round", "memory", "all"], default="all"
    )
    parser.add_argument("--model-mb", type=int, default=400)
    parser.add_argument("--reply-mb", type=int, default=40)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if options.what in ("rate", "all"):
        rate(options.model_mb * MB, options.repeat)
    if options.what in ("round", "all"):
        rounds(10, 300_000, 20)
    if options.what in ("memory", "all"):
        memory(options.clients, options.reply_mb * MB)
    return 0


if __name__ == "__main__":
    sys.exit(main())
