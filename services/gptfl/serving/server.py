"""Serves a model folder over HTTP until it is told to stop."""

import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from gptfl.errors import GPTFLError

if TYPE_CHECKING:
    import uvicorn

GRACE_SECONDS = 20
"""How long requests in work may take after the server was told to stop."""

log = logging.getLogger("gptfl.serving")


def serve(
    model_folder: Path,
    *,
    name: str,
    port: int = 8080,
    host: str = "127.0.0.1",
    threads: int = 1,
) -> None:
    """Answers under `/v1/models/{name}` and `/v2/models/{name}` until SIGTERM or SIGINT.

    The port is taken first, and answers when the model is loaded and has run once. Returns when the
    requests in work are answered. Raises GPTFLError when the port is in use or the folder is not a
    model.
    """
    with _bound(host, port) as listener:
        import torch
        import uvicorn

        from gptfl.serving.app import create_app
        from gptfl.serving.predictor import Predictor

        torch.set_num_threads(threads)
        predictor = Predictor(name, model_folder)
        predictor.load()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(predictor),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_SECONDS,
                # Longer than the idle time of the usual proxies, or they meet closed connections.
                timeout_keep_alive=65,
            )
        )
        with _port_errors(host, port), _stopped_by_signals(server), _logged():
            log.info("serving %s at http://%s:%d/v1/models/%s:predict", name, host, port, name)
            server.run(sockets=[listener])
            log.info("stopped")


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that has the port and does not listen yet, so that nobody is kept waiting."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise GPTFLError(
            f"host {host!r}: {error.strerror}; use an address of this machine"
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        # A server that was just stopped leaves its port behind for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with _port_errors(host, port):
            listener.bind(address)
        yield listener


@contextlib.contextmanager
def _port_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = {
            errno.EADDRINUSE: "is in use; stop what listens there or choose another port",
            errno.EACCES: "may not be taken; choose a port from 1024 on",
            errno.EADDRNOTAVAIL: "cannot be taken; use an address of this machine",
        }.get(error.errno or 0)
        if reason is None:
            raise
        raise GPTFLError(f"port {port} of {host}: {reason}") from error


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Start, stop and refused requests as lines on standard error; what went well is counted in
    the metrics."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


@contextlib.contextmanager
def _stopped_by_signals(server: "uvicorn.Server") -> Iterator[None]:
    """SIGTERM and SIGINT stop the server and nothing more.

    uvicorn has handlers of its own while it runs, and afterwards raises what it caught once more:
    the process would end by the signal and not with exit code 0.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
