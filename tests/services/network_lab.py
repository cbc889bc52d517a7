"""Streams with real sockets and processes, and what may befall them."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import grpc
import numpy as np
from flwr.app import Message, RecordDict

from gptfl.federation.arrays import encode
from gptfl.federation.flower import become_server, number_message
from gptfl.federation.network import StreamGrid, issue_client, issue_server, make_authority
from gptfl.federation.network.frames import METHOD, Frame, Hello, pack_frame, unpack_frame

HERE = Path(__file__).parent
PATIENCE = 60.0


def make_pki(folder: Path, names: Sequence[str]) -> Path:
    """An authority, a server for this machine, and a client for each name."""
    make_authority(folder)
    issue_server(folder, ["localhost", "127.0.0.1"])
    for name in names:
        issue_client(folder, name)
    return folder


def task(node: int, name: str = "", numbers: int = 1000) -> Message:
    """A message with a model of float32 numbers; `name` is the task's for ever."""
    become_server()
    model = encode({"w": np.arange(numbers, dtype=np.float32)})
    message = Message(RecordDict({"arrays": model}), node, "train")
    if name:
        number_message(message, f"{name}-{node}")
    return message


def ask(
    grid: StreamGrid, nodes: Sequence[int], name: str = "", numbers: int = 1000
) -> list[Message]:
    """The replies of some nodes."""
    messages = [task(node, name, numbers) for node in nodes]
    return list(grid.send_and_receive(messages, timeout=PATIENCE))


def is_good(reply: Message, numbers: int = 1000) -> bool:
    """Whether a reply is what `network_client.py` makes of a task: the model plus the node."""
    if reply.has_error():
        return False
    made = reply.content["arrays"]["w"].numpy()  # type: ignore[index]
    expected = np.arange(numbers, dtype=np.float32) + np.float32(reply.metadata.src_node_id)
    return made.tobytes() == expected.tobytes()


class Process:
    """A process of a test's, which ends with it."""

    def __init__(self, script: str, *arguments: object) -> None:
        warnings = ["-Werror", "-Wignore:'click.utils:DeprecationWarning"]  # as in pyproject.toml
        command = [sys.executable, *warnings, str(HERE / script), *map(str, arguments)]
        self._process = subprocess.Popen(command)

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop_and_go(self, signal_number: int) -> None:
        self._process.send_signal(signal_number)

    def wait(self) -> int:
        return self._process.wait(PATIENCE)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.running:
            self.kill()


class ClientProcess(Process):
    """An honest client; `calls` says for each task that it has begun."""

    def __init__(
        self, address: str, name: str, folder: Path | None, calls: Path, *, seconds: float = 0
    ) -> None:
        self.calls_file = calls
        super().__init__("network_client.py", address, name, folder or "-", calls, seconds)

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().split() if self.calls_file.exists() else []


class Proxy:
    """Stands between client and aggregator, counts, slows down and cuts."""

    def __init__(self, target: str, *, seconds_per_mebibyte: float = 0) -> None:
        host, _, port = target.rpartition(":")
        self.target = (host, int(port))
        self.up = 0
        self.down = 0
        self.pause = seconds_per_mebibyte
        self.cut_each: Callable[[], int] | None = None
        """Bytes after which a connection is cut; asked for each connection."""
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cuts all connections there are."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            self.connections += 1
            left = [self.cut_each() if self.cut_each else sys.maxsize]
            self._open |= {near, far}
            for source, sink, upward in ((near, far, True), (far, near, False)):
                arguments = (source, sink, upward, left)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, upward: bool, left: list[int]
    ) -> None:
        with suppress(OSError):
            while left[0] > 0 and (data := source.recv(65536)):
                left[0] -= len(data)
                if upward:
                    self.up += len(data)
                else:
                    self.down += len(data)
                if self.pause:
                    time.sleep(self.pause * len(data) / 2**20)
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.cut()


class Speaker:
    """A peer that says what it likes, frame by frame."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self._channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._said: list[bytes | None] = []
        self._more = threading.Condition()
        self.call = self._channel.stream_stream(METHOD)(self._frames(), timeout=PATIENCE)

    def say(self, *data: bytes) -> None:
        with self._more:
            self._said.extend(data)
            self._more.notify()

    def hello(self, name: str, token: str, protocol: int = 1) -> None:
        self.say(pack_frame(Hello(protocol=protocol, name=name, token=token)))

    def hear(self) -> Frame:
        """The next frame; raises what gRPC raises when there is none."""
        return unpack_frame(next(self.call))

    def fate(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended."""
        with suppress(grpc.RpcError):
            for _ in self.call:
                pass
        return self.call.code(), self.call.details()

    def _frames(self) -> Iterator[bytes]:
        while True:
            with self._more:
                while not self._said:
                    self._more.wait()
                data = self._said.pop(0)
            if data is None:
                return
            yield data

    def __enter__(self) -> "Speaker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.call.cancel()
        self.say(None)  # type: ignore[arg-type]
        self._channel.close()


def at_random(seed: int, least: int, most: int) -> Callable[[], int]:
    """Another number each time, the same each run."""
    draw = random.Random(seed)
    return lambda: draw.randint(least, most)


@contextmanager
def clients(*processes: ClientProcess) -> Iterator[None]:
    """Ends the processes whatever happens."""
    try:
        yield
    finally:
        for process in processes:
            process.__exit__(None, None, None)
