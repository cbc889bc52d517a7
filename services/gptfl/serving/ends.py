"""The two ends of a server, HTTP and gRPC, on one event loop: how they start and how they stop.

Told to stop, a server says at once that it is not ready; when the time for others to notice is
over, it refuses what comes from then on, in a sentence; a moment later it listens no more; and it
ends when what it has admitted is answered.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from types import FrameType

import grpc.aio
import uvicorn
from prometheus_client import CollectorRegistry

from gptfl.errors import GPTFLError
from gptfl.serving.app import create_app
from gptfl.serving.body import Room
from gptfl.serving.counting import Counting
from gptfl.serving.models import OneModel
from gptfl.serving.predictor import Predictor
from gptfl.serving.rpc import create_server

GRACE_SECONDS = 20
"""How long requests in work may take after the server was told to stop."""

LAST_CALL_SECONDS = 0.5
"""How long connections are still taken after that, to be refused in a sentence: to close the door
at once would break off what is on its way through it."""

MAX_CALLS = 64
"""Calls of gRPC at once, each of which may hold a whole message, since gRPC reads it before anybody
is asked; the rest is refused by gRPC."""

log = logging.getLogger("gptfl.serving")


class Ends:
    """Both servers of one loaded model."""

    def __init__(
        self, predictor: Predictor, counting: Counting, registry: CollectorRegistry, drain: float
    ) -> None:
        """`drain` is how many seconds requests are still taken when it was told to stop."""
        self._drain = drain
        self._predictor = predictor
        self._counting = counting
        self._dataplane = OneModel(predictor)
        self._room = Room()
        self._config = uvicorn.Config(
            create_app(self._dataplane, counting, registry, self._room),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
            # Longer than the idle time of the usual proxies, or they meet closed connections.
            timeout_keep_alive=65,
        )

    @property
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Makes the fastest event loop that is installed."""
        return self._config.get_loop_factory()

    async def answer(self, listener: socket.socket, rpc_address: str | None) -> None:
        """Answers on a bound socket, and on gRPC's address, until SIGTERM or SIGINT."""
        rpc = await self._listening(rpc_address) if rpc_address else None
        host, port = listener.getsockname()[:2]
        log.info(
            "serving %s at http://%s:%d/v1/models/%s:predict%s",
            self._predictor.name,
            f"[{host}]" if ":" in host else host,
            port,
            self._predictor.name,
            f" and at grpc://{rpc_address}" if rpc_address else "",
        )
        server = _Server(self._config, self._predictor, self._dataplane, rpc, self._drain)
        await server.serve(sockets=[listener])

    async def _listening(self, address: str) -> grpc.aio.Server:
        server = create_server(
            self._dataplane,
            self._counting,
            most_bytes=self._room.limits.bytes,
            most_calls=MAX_CALLS,
        )
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise GPTFLError(
                f"gRPC: {address} cannot be taken; choose another port or address"
            ) from error
        await server.start()
        return server


class _Server(uvicorn.Server):
    """uvicorn, with an end as described above; it ends with exit code 0 and not by the signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        predictor: Predictor,
        dataplane: OneModel,
        rpc: grpc.aio.Server | None,
        drain: float,
    ) -> None:
        super().__init__(config)
        self._predictor = predictor
        self._dataplane = dataplane
        self._rpc = rpc
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Who presses Ctrl-C again does not want to wait for requests.
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._dataplane.is_draining = True
        end = time.monotonic() + self._drain
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.1)
        self._predictor.stop()
        await asyncio.sleep(LAST_CALL_SECONDS)
        async with asyncio.TaskGroup() as both:
            both.create_task(super().shutdown(sockets))
            if self._rpc is not None:
                both.create_task(self._rpc.stop(GRACE_SECONDS))
