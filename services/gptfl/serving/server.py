"""Serves a model folder over HTTP, and over gRPC when asked, until it is told to stop."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gptfl.errors import GPTFLError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from gptfl.serving.predictor import Limits

log = logging.getLogger("gptfl.serving")


def serve(
    model_folder: Path,
    *,
    name: str,
    port: int = 8080,
    host: str = "127.0.0.1",
    grpc_port: int | None = None,
    threads: int = 1,
    drain: float = 0,
    limits: "Limits | None" = None,
    registry: "CollectorRegistry | None" = None,
) -> None:
    """Answers under `/v1/models/{name}` and `/v2/models/{name}` until SIGTERM or SIGINT.

    The ports are taken first, and answer when the model is loaded and has run. After the signal
    requests are taken for `drain` seconds more, and it returns when those in work are answered. The
    metrics go to `registry`. Raises GPTFLError when a port is in use or the folder is not a model.
    """
    with bound(host, port) as listener:
        if grpc_port is not None:
            # gRPC takes it later, by itself; who waits for a model to load wants to know before.
            with bound(host, grpc_port):
                pass
        import torch

        from gptfl.serving.counting import Counting
        from gptfl.serving.ends import Ends
        from gptfl.serving.predictor import Limits, Predictor
        from gptfl.telemetry.metrics.process import open_registry

        torch.set_num_threads(threads)
        registry = registry or open_registry("gptfl serve")
        counting = Counting(registry, name)
        predictor = Predictor(name, model_folder, counting, limits or Limits())
        predictor.load()
        ends = Ends(predictor, counting, registry, drain)
        with port_errors(host, port), asyncio.Runner(loop_factory=ends.loop_factory) as runner:
            runner.run(ends.answer(listener, rpc_address(host, grpc_port)))
        log.info("stopped")


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
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
        with port_errors(host, port):
            listener.bind(address)
        yield listener


@contextlib.contextmanager
def port_errors(host: str, port: int) -> Iterator[None]:
    """Says in a GPTFLError why a port cannot be had."""
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


def rpc_address(host: str, port: int | None) -> str | None:
    """The address as gRPC writes it."""
    if port is None:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
