"""The v2 protocol over gRPC: KServe's own clients, what is refused, and with which status."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from served_model import LABELS, Served, digit, png

SEVEN = digit(7)
PNG = png(SEVEN)


def call(server: Served, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    async def called() -> Any:
        options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(server.rpc_address, options=options) as channel:
            return await ask(GRPCInferenceServiceStub(channel))

    return asyncio.run(called())


def tensor(name: str, datatype: str, shape: list[int], **contents: object) -> Any:
    given = pb.InferTensorContents(**contents) if contents else None
    return pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=shape, contents=given
    )


def request(*inputs: Any, raw: list[bytes] | None = None, **more: Any) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        **{"model_name": "digits", "inputs": inputs, "raw_input_contents": raw or [], **more}
    )


def refused(server: Served, asked: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        call(server, lambda stub: stub.ModelInfer(asked))
    return raised.value.code(), raised.value.details() or ""


PIXELS = tensor("pixels", "UINT8", [1, 8, 8, 1], uint_contents=SEVEN.ravel().tolist())
RAW_PIXELS = tensor("pixels", "UINT8", [1, 8, 8, 1])


def v2_probabilities(client: httpx.Client) -> list[float]:
    data = SEVEN.ravel().tolist()
    body = {
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": data}]
    }
    outputs = client.post("/v2/models/digits/infer", json=body).json()["outputs"]
    return list(np.float32(outputs[1]["data"]))


@pytest.mark.parametrize(
    "asked",
    [
        request(PIXELS),
        request(tensor("image", "BYTES", [1], bytes_contents=[PNG])),
        request(RAW_PIXELS, raw=[SEVEN.tobytes()]),
        request(tensor("image", "BYTES", [1]), raw=[struct.pack("<I", len(PNG)) + PNG]),
    ],
)
def test_every_form_of_a_request_gets_the_numbers_of_http(server: Served, asked: Any) -> None:
    answer = InferResponse.from_grpc(call(server, lambda stub: stub.ModelInfer(asked)))
    label, probabilities = answer.outputs
    assert answer.model_name == "digits"
    assert (label.datatype, label.shape) == ("BYTES", [1])
    assert label.as_numpy()[0].decode() in LABELS
    assert (probabilities.datatype, probabilities.shape) == ("FP32", [1, 10])
    assert probabilities.as_numpy()[0].tolist() == v2_probabilities(server.client)


def test_the_answer_is_raw_when_the_request_was(server: Served) -> None:
    def raw(asked: Any) -> list[bool]:
        answer = call(server, lambda stub: stub.ModelInfer(asked))
        return [bool(answer.raw_output_contents), answer.outputs[0].HasField("contents")]

    assert raw(request(RAW_PIXELS, raw=[SEVEN.tobytes()])) == [True, False]
    assert raw(request(PIXELS)) == [False, True]


def test_outputs_and_id_are_as_asked(server: Served) -> None:
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name="probabilities")]
    asked = request(PIXELS, outputs=wanted, id="request-7")
    answer = call(server, lambda stub: stub.ModelInfer(asked))
    assert (answer.id, [output.name for output in answer.outputs]) == (
        "request-7",
        ["probabilities"],
    )


def test_kserves_own_clients_get_the_same_from_both_protocols(server: Served) -> None:
    def asked() -> InferRequest:
        pixels = InferInput("pixels", [1, 8, 8, 1], "UINT8")
        pixels.set_data_from_numpy(SEVEN.reshape(1, 8, 8, 1))
        return InferRequest("digits", [pixels])

    async def ask() -> tuple[InferResponse, InferResponse]:
        rest = InferenceRESTClient(RESTConfig(protocol="v2"))
        async with rest, InferenceGRPCClient(server.rpc_address) as rpc:
            base = str(server.client.base_url)
            assert await rpc.is_server_live()
            assert await rpc.is_server_ready()
            assert await rpc.is_model_ready("digits")
            assert await rest.is_model_ready(base, "digits")
            return await rpc.infer(asked()), await rest.infer(base, asked(), "digits")

    by_rpc, by_rest = asyncio.run(ask())
    numbers = by_rpc.outputs[1].as_numpy()
    assert numbers.tolist() == by_rest.outputs[1].as_numpy().astype(np.float32).tolist()


def test_the_model_describes_itself(server: Served) -> None:
    metadata = call(server, lambda stub: stub.ModelMetadata(pb.ModelMetadataRequest(name="digits")))
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [
        ("image", "BYTES", [-1]),
        ("pixels", "UINT8", [-1, 8, 8, 1]),
    ]
    assert [(t.name, list(t.shape)) for t in metadata.outputs] == [
        ("label", [-1]),
        ("probabilities", [-1, 10]),
    ]


BAD = grpc.StatusCode.INVALID_ARGUMENT
HUGE = [2**62, 2**62, 2**62, 4]
WRONG = [
    (request(), BAD, "inputs: has 0 tensors; send one"),
    (request(PIXELS, PIXELS), BAD, "inputs: has 2 tensors; send one"),
    (request(tensor("x", "UINT8", [1])), BAD, "inputs[0].name: is 'x'; send"),
    (request(tensor("pixels", "FP32", [1, 8, 8, 1], fp32_contents=[float("nan")] * 64)), BAD,
     "inputs[0].datatype: is 'FP32'; pixels is UINT8"),
    (request(tensor("pixels", "NONSENSE", [1, 8, 8, 1])), BAD, "inputs[0].datatype: is 'NONSENSE'"),
    (request(tensor("pixels", "UINT8", HUGE)), BAD, "inputs[0].shape: is [46116860"),
    (request(tensor("pixels", "UINT8", [2**62, 8, 8, 1])), BAD, "inputs[0].shape[0]: has 46116860"),
    (request(tensor("pixels", "UINT8", [-1, 8, 8, 1])), BAD, "inputs[0].shape[0]: has -1 images"),
    (request(tensor("pixels", "UINT8", [])), BAD, "inputs[0].shape: is []; send"),
    (request(tensor("pixels", "UINT8", [1, 8, 8, 1], uint_contents=[256] * 64)), BAD,
     "inputs[0].data: has other values than whole numbers from 0 to 255"),
    (request(RAW_PIXELS, raw=[b"123"]), BAD, "inputs[0].data: has 3 numbers, and inputs[0].shape"),
    (request(RAW_PIXELS, raw=[b"", b""]), BAD, "raw_input_contents: has 2 tensors, and inputs has"),
    (request(PIXELS, raw=[SEVEN.tobytes()]), BAD, "inputs[0].contents: stands beside raw_input_c"),
    (request(tensor("image", "BYTES", [1]), raw=[b"\xff\xff\xff\xffx"]), BAD,
     "inputs[0].data[0]: says that it has 4294967295 bytes, and 1 are left"),
    (request(tensor("image", "BYTES", [1], bytes_contents=[b"x"])), BAD, "inputs[0].data[0]: is n"),
    (request(PIXELS, outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="x")]), BAD,
     "outputs[0].name: is 'x'; ask for label or probabilities"),
    (request(PIXELS, model_name="../../etc/passwd"), grpc.StatusCode.NOT_FOUND,
     "Model with name ../../etc/passwd does not exist."),
    (request(PIXELS, model_name=""), grpc.StatusCode.NOT_FOUND, "Model with name  does not exist."),
    (request(PIXELS, model_version="1"), grpc.StatusCode.UNIMPLEMENTED, "Model versioning not"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "code", "message"), WRONG)
def test_a_wrong_request_is_refused_in_one_sentence(
    server: Served, asked: Any, code: grpc.StatusCode, message: str
) -> None:
    found, said = refused(server, asked)
    assert found is code
    assert said.startswith(message)
    assert "\n" not in said


def test_what_is_quoted_of_a_request_is_cut_and_has_no_line_ends(server: Served) -> None:
    _, said = refused(server, request(tensor("x\n" * 10_000, "UINT8", [1])))
    assert len(said) <= 500
    assert "\n" not in said


def test_a_message_of_more_than_32_mebibytes_is_refused(server: Served) -> None:
    code, _ = refused(server, request(RAW_PIXELS, raw=[bytes(32 * 2**20)]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_that_unpacks_to_more_than_that_is_refused(server: Served) -> None:
    asked = request(RAW_PIXELS, raw=[bytes(64 * 2**20)])
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        call(server, lambda stub: stub.ModelInfer(asked, compression=grpc.Compression.Gzip))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message_are_refused_and_the_server_goes_on(server: Served) -> None:
    async def send() -> None:
        async with grpc.aio.insecure_channel(server.rpc_address) as channel:
            method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            await method(b"\xff" * 100)

    with pytest.raises(grpc.aio.AioRpcError):
        asyncio.run(send())
    assert call(server, lambda stub: stub.ModelInfer(request(PIXELS))).model_name == "digits"


def test_the_model_can_be_neither_loaded_nor_unloaded(server: Served) -> None:
    for ask in (
        lambda stub: stub.RepositoryModelUnload(
            pb.RepositoryModelUnloadRequest(model_name="digits")
        ),
        lambda stub: stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="digits")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            call(server, ask)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    ready = call(server, lambda stub: stub.ModelReady(pb.ModelReadyRequest(name="digits")))
    assert ready.ready


def test_another_model_is_not_found(server: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        call(server, lambda stub: stub.ModelReady(pb.ModelReadyRequest(name="other")))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
