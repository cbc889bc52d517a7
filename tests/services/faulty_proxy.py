"""A proxy in front of an S3 server with which calls go wrong, by chance and in every way."""

import random
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

FAULTS = ("unavailable", "reset", "stall", "cut request", "cut answer", "lost answer")
"""Refused with 503; closed before anything was done; held without a byte; half a request or half an
answer let through; done, and the answer swallowed."""

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SLOW_DOWN), _SLOW_DOWN)
)


class FaultyProxy:
    """Forwards requests one by one; so many of them in a hundred go wrong."""

    def __init__(
        self, port: int, *, percent: float = 10, seed: int = 0, stall_seconds: float = 3.0
    ) -> None:
        """`port` is the server's; a stall lasts so long, or until the caller has had enough."""
        self.percent, self.stall_seconds = percent, stall_seconds
        self.upstream = port
        self.faults: Counter[str] = Counter()
        """How often each befell a call."""
        self.calls = 0
        self.seen: list[str] = []
        """Method and path of each."""
        self.next: list[str] = []
        """Faults for the next calls, before chance decides."""
        self._random, self._guard = random.Random(seed), threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def draw(self) -> str | None:
        """What befalls the next call."""
        with self._guard:
            self.calls += 1
            fault: str | None
            if self.next:
                fault = self.next.pop(0)
            else:
                strikes = self._random.random() * 100 < self.percent
                fault = self._random.choice(FAULTS) if strikes else None
            if fault:
                self.faults[fault] += 1
            return fault


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: FaultyProxy


class _Handler(socketserver.BaseRequestHandler):
    """One call a connection, so that an answer ends where the server's connection does."""

    server: _Server

    def handle(self) -> None:
        try:
            head, body = _read_request(self.request)
            if head:
                self.server.proxy.seen.append(head.partition(b" HTTP")[0].decode())
                self._serve(head, body, self.server.proxy.draw())
        except OSError:
            pass  # the caller or the server has gone: that is what the proxy is for

    def _serve(self, head: bytes, body: bytes, fault: str | None) -> None:
        if fault == "unavailable":
            self.request.sendall(_UNAVAILABLE)
        elif fault == "reset":
            self._reset()
        elif fault == "stall":
            time.sleep(self.server.proxy.stall_seconds)
        elif fault == "cut request":
            whole = _closing(head) + body
            _ask(self.server.proxy.upstream, whole[: len(whole) // 2], whole=False)
            self._reset()
        else:
            answer = _ask(self.server.proxy.upstream, _closing(head) + body)
            if fault == "lost answer":
                self._reset()
            elif fault == "cut answer":
                self.request.sendall(answer[: len(answer) // 2])
            else:
                self.request.sendall(answer)

    def _reset(self) -> None:
        """Closes so that the other side sees a reset, not an end."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


def _read_request(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    parts, have = [body], len(body)
    while have < length:
        more = sock.recv(1 << 20)
        if not more:
            raise ConnectionError
        parts.append(more)
        have += len(more)
    return head, b"".join(parts)


def _closing(head: bytes) -> bytes:
    return head + b"\r\nConnection: close\r\n\r\n"


def _ask(port: int, request: bytes, *, whole: bool = True) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as upstream:
        upstream.sendall(request)
        if not whole:
            return b""
        parts = []
        while part := upstream.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)
