"""The v2 protocol over gRPC: KServe's service, with requests and refusals like those of HTTP."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from kserve import InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import RequestedOutput

from gptfl.serving.answers import grpc_answer
from gptfl.serving.counting import Counting
from gptfl.serving.models import FixedModels, OneModel
from gptfl.serving.refusals import FAULT, RETRY_SECONDS, message, refusal
from gptfl.serving.requests import RequestError

CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the protocol keeps the values of each type; FP16 has raw bytes only."""

log = logging.getLogger("gptfl.serving")


def create_server(
    dataplane: OneModel, counting: Counting, *, most_bytes: int, most_calls: int
) -> grpc.aio.Server:
    """A server that has no port yet. A message has at most so many bytes when it is unpacked."""
    server = grpc.aio.server(
        interceptors=(_Refusing(),),
        options=(
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.max_send_message_length", -1),
            # Two servers that share a port would each get half of the requests.
            ("grpc.so_reuseport", 0),
        ),
        maximum_concurrent_rpcs=most_calls,
    )
    service = _Service(dataplane, FixedModels(dataplane), counting)
    add_GRPCInferenceServiceServicer_to_server(service, server)
    return server


def read_call(call: pb.ModelInferRequest) -> InferRequest:
    """The request in a message; raw tensors have bytes as their data. Raises RequestError."""
    raw = call.raw_input_contents
    if raw and len(raw) != len(call.inputs):
        raise RequestError(
            f"raw_input_contents: has {len(raw)} tensors, and inputs has {len(call.inputs)}"
        )
    inputs = [
        InferInput(
            tensor.name,
            list(tensor.shape),
            tensor.datatype,
            _values(index, tensor, raw[index] if raw else None),
        )
        for index, tensor in enumerate(call.inputs)
    ]
    request = InferRequest(
        call.model_name,
        inputs,
        request_id=call.id,
        from_grpc=True,
        request_outputs=[RequestedOutput(output.name) for output in call.outputs],
    )
    # KServe answers in raw bytes who has sent them.
    request._use_raw_outputs = bool(raw)
    return request


def _values(index: int, tensor: Any, raw: bytes | None) -> Any:
    if raw is None:
        field = CONTENTS.get(tensor.datatype.upper())
        return list(getattr(tensor.contents, field)) if field else []
    if tensor.HasField("contents"):
        raise RequestError(
            f"inputs[{index}].contents: stands beside raw_input_contents; send one of them"
        )
    return raw


class _Service(InferenceServicer):  # type: ignore[misc]  # kserve has no types
    """KServe's service: live, ready, metadata; asking the model is ours."""

    def __init__(self, dataplane: OneModel, models: FixedModels, counting: Counting) -> None:
        super().__init__(dataplane, models)
        self._dataplane = dataplane
        self._counting = counting

    async def ModelInfer(  # noqa: N802  # the protocol's name
        self, request: pb.ModelInferRequest, context: Any
    ) -> pb.ModelInferResponse:
        with self._counting.request("grpc"):
            self._dataplane.require_ready()
            if request.model_version:
                raise NotImplementedError("Model versioning not supported yet.")
            answer, _ = await self._dataplane.infer(request.model_name, read_call(request))
            return grpc_answer(answer)


class _Refusing(grpc.aio.ServerInterceptor):
    """Turns what the service raises into a status and one sentence."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method; gRPC says so itself
            return None

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await handler.unary_unary(request, context)
            except Exception as error:
                return await _refuse(error, handler_call_details.method, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


async def _refuse(
    error: Exception, method: str, context: grpc.aio.ServicerContext[Any, Any]
) -> None:
    found, said = refusal(error), message(error)
    name = method.rpartition("/")[2]
    log.info("%s %s %s", found.grpc.name, name, said, exc_info=error if found is FAULT else None)
    if found.grpc is grpc.StatusCode.UNAVAILABLE:
        # gRPC's own word for Retry-After, which its clients follow.
        context.set_trailing_metadata((("grpc-retry-pushback-ms", str(RETRY_SECONDS * 1000)),))
    await context.abort(found.grpc, said)
