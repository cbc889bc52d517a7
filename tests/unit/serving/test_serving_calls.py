"""The gRPC server in this process: messages that have no room, and clients that send none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from prometheus_client import CollectorRegistry
from served_model import digit

from gptfl.serving.body import BodyLimits, Room
from gptfl.serving.counting import Counting
from gptfl.serving.models import OneModel
from gptfl.serving.predictor import Limits, Predictor
from gptfl.serving.rpc import create_server

METHOD = "/inference.GRPCInferenceService/ModelInfer"
PIXELS = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 8, 8, 1])
MESSAGE = pb.ModelInferRequest(
    model_name="digits", inputs=[PIXELS], raw_input_contents=[digit(0).tobytes()]
).SerializeToString()


def run(folder: Path, room: Room, ask: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> Any:
    counting = Counting(CollectorRegistry(), "digits")
    predictor = Predictor("digits", folder, counting, Limits())
    predictor.load()

    async def asked() -> Any:
        server = create_server(OneModel(predictor), counting, room, most_calls=100)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        options = [("grpc.enable_retries", 0)]
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                return await ask(channel)
        finally:
            await server.stop(None)

    return asyncio.run(asked())


async def refusal(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


def test_a_message_that_has_no_room_beside_other_bodies_comes_again(model_folder: Path) -> None:
    room = Room(BodyLimits(bytes=1000, together=1000))

    async def ask(channel: grpc.aio.Channel) -> bytes:
        infer = channel.unary_unary(METHOD)
        with room.share() as body:
            assert body.take(1001 - len(MESSAGE))
            error = await refusal(infer(MESSAGE))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (
            error.details() == "the bodies of other requests leave no room; ask again in a second"
        )
        assert ("grpc-retry-pushback-ms", "1000") in tuple(error.trailing_metadata() or ())
        answer: bytes = await infer(MESSAGE)
        return answer

    assert pb.ModelInferResponse.FromString(run(model_folder, room, ask)).model_name == "digits"
    assert room.left == 1000


def test_no_more_messages_are_read_at_once_than_have_room_and_the_others_wait_their_turn(
    model_folder: Path,
) -> None:
    room = Room(BodyLimits(bytes=1000, together=2999, seconds=3600))

    async def ask(channel: grpc.aio.Channel) -> None:
        async def nothing_yet() -> AsyncIterator[bytes]:
            await send.wait()
            yield MESSAGE

        send = asyncio.Event()
        readers = [channel.stream_unary(METHOD)(nothing_yet()) for _ in range(2)]
        for reader in readers:
            await reader.wait_for_connection()
        waiting = asyncio.ensure_future(channel.unary_unary(METHOD)(MESSAGE))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        send.set()
        for one in (*readers, waiting):
            assert pb.ModelInferResponse.FromString(await one).model_name == "digits"

    run(model_folder, room, ask)


def test_a_message_that_never_comes_is_given_up(model_folder: Path) -> None:
    async def ask(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
        async def nothing() -> AsyncIterator[bytes]:
            await asyncio.sleep(3600)
            yield MESSAGE

        return await refusal(channel.stream_unary(METHOD)(nothing()))

    error = run(model_folder, Room(BodyLimits(seconds=0.05)), ask)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "message: is not whole after 0.05 s; send it faster"


def test_a_call_without_a_message_and_one_that_is_none_are_refused(model_folder: Path) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str | None]:
        async def nothing() -> AsyncIterator[bytes]:
            for never in ():
                yield never

        calls = (channel.stream_unary(METHOD)(nothing()), channel.unary_unary(METHOD)(b"\xff" * 9))
        return [(await refusal(call)).details() for call in calls]

    assert run(model_folder, Room(), ask) == [
        "message: is missing; send one",
        "message: is not one of the protocol; use its own classes",
    ]
