"""The aggregator's end of the streams: who is let in, on which terms, and who is thrown out."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

import grpc
import grpc.aio

from gptfl.errors import NetworkError
from gptfl.federation.network.blocks import REPLY_FRAME
from gptfl.federation.network.channels import check_address, is_loopback, server_options
from gptfl.federation.network.counters import Counters, StreamStatus, Turned
from gptfl.federation.network.exchange import Exchange
from gptfl.federation.network.frames import (
    METHOD,
    PROTOCOL,
    FrameError,
    Hello,
    Welcome,
    pack_frame,
    unpack_frame,
)
from gptfl.federation.network.line import Sending, StreamLine
from gptfl.federation.network.security import Gate, ServerSecurity
from gptfl.federation.network.settings import StreamSettings

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 1.0
_FAREWELL_SECONDS = 5.0
_Context = grpc.aio.ServicerContext[bytes, bytes]
_MOST_REPORTED = 1000
"""Hosts and reasons that are warned of; strangers are not to fill the log."""
_UNTOLD = (Turned.SILENT, Turned.UNAUTHENTICATED, Turned.REVOKED)


class StreamServer(grpc.GenericRpcHandler):
    """Listens; a stream belongs to a client from its hello on."""

    def __init__(
        self,
        names: Sequence[str],
        security: ServerSecurity | None,
        terms: bytes,
        settings: StreamSettings,
    ) -> None:
        self._nodes = {name: index + 1 for index, name in enumerate(names)}
        self._security = security
        self._gate = Gate(names, security)
        self._terms = terms
        self._settings = settings
        self._counters = Counters()
        self._sending = Sending(settings)
        self._lines: set[StreamLine] = set()
        self._reported: set[tuple[str, Turned]] = set()
        self._dismissed = False
        self.exchange = Exchange(settings.held_bytes, self._counters)

    async def start(self, address: str) -> str:
        """Listens, and says where. Raises NetworkError when the address cannot be had."""
        check_address(address)
        host = address.rpartition(":")[0]
        self._server = grpc.aio.server(
            handlers=(self,),
            options=server_options(self._settings),
            maximum_concurrent_rpcs=self._settings.connections,
        )
        try:
            if self._security is not None:
                credentials = self._security.credentials()
                port = self._server.add_secure_port(address, credentials)
            elif is_loopback(address):
                port = self._server.add_insecure_port(address)
            else:
                raise NetworkError(
                    f"{address} can be reached from elsewhere, so it needs certificates and "
                    "tokens; gptfl pki makes them"
                )
        except RuntimeError:
            raise NetworkError(
                f"cannot listen on {address}: is the port taken, or the host another machine?"
            ) from None
        await self._server.start()
        self._checking = asyncio.create_task(self._check())
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Ends every stream and frees the port."""
        self._checking.cancel()
        await self._server.stop(None)

    async def dismiss(self) -> None:
        """Tells all clients that there is no more to do, and waits until they have been told."""
        self._dismissed = True
        for line in self._lines:
            line.dismiss()
        if self._lines:  # they leave when they have read it
            await asyncio.wait([line.ended for line in self._lines], timeout=_FAREWELL_SECONDS)

    async def status(self) -> StreamStatus:
        """What telemetry shows."""
        there = self.exchange.connected
        connected = tuple(name for name, node in self._nodes.items() if node in there)
        return StreamStatus.of(connected, self.exchange.held, self._counters)

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """For gRPC: there is one method; others are unimplemented."""
        if details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(self._serve)

    async def _serve(self, _: object, context: _Context) -> None:
        hello = await self._hello(context)
        name = hello.name
        welcome = Welcome(
            node=self._nodes[name],
            frame_bytes=min(REPLY_FRAME, self._settings.frame_bytes),
            terms=self._terms,
        )
        line = StreamLine(
            context,
            name,
            self._nodes[name],
            exchange=self.exchange,
            sending=self._sending,
            settings=self._settings,
            counters=self._counters,
            revoked=lambda: self._gate.revoked(name),
        )
        self._lines.add(line)
        self._counters.connections[name] += 1
        _LOG.info("client %s has connected", name)
        try:
            line.welcome(pack_frame(welcome))
            if self._dismissed:
                line.dismiss()
            reason = await line.run()
        finally:
            self._lines.discard(line)
            _LOG.info("client %s has left", name)
        if reason is not None:
            await self._turn_away(context, reason)

    async def _hello(self, context: _Context) -> Hello:
        """Who is there; turns away whoever does not say, or is not whom it says it is."""
        try:
            data = await asyncio.wait_for(context.read(), self._settings.hello_seconds)
            hello = unpack_frame(data) if isinstance(data, bytes) else None
        except TimeoutError:
            await self._turn_away(context, Turned.SILENT)
        except FrameError:
            hello = None
        if not isinstance(hello, Hello):
            await self._turn_away(context, Turned.UNAUTHENTICATED)
        certificates = [*context.auth_context().get("x509_pem_cert", ())]
        certificate = certificates[0] if len(certificates) == 1 else None
        if not self._gate.admits(hello.name, hello.token, certificate):
            await self._turn_away(context, Turned.UNAUTHENTICATED)
        if self._gate.revoked(hello.name):
            await self._turn_away(context, Turned.REVOKED)
        if hello.protocol != PROTOCOL:
            await self._turn_away(context, Turned.PROTOCOL)
        return hello

    async def _turn_away(self, context: _Context, reason: Turned) -> NoReturn:
        """Who has not proved a name learns nothing, whatever was wrong."""
        self._counters.turned_away[reason] += 1
        # Who is refused is not told why: the one who can help is here. Once, not at each attempt.
        news = context.peer().rpartition(":")[0], reason
        level = logging.INFO
        if news not in self._reported and len(self._reported) < _MOST_REPORTED:
            self._reported.add(news)
            level = logging.WARNING
        _LOG.log(level, "%s is turned away: %s", context.peer(), reason.value)
        if reason in _UNTOLD:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "")
        await context.abort(grpc.StatusCode.ABORTED, reason.value)
        raise AssertionError("abort raises")

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for line in self._lines:
                line.check()
