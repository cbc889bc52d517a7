"""What goes back of the v2 protocol: an answer's tensors as JSON, as bytes behind it, or in gRPC.

KServe's own writers go over each number in Python, and that for gRPC forgets which outputs were
asked for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from kserve import InferOutput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from gptfl.serving.requests import RequestError


def chosen_outputs(request: InferRequest, offered: Sequence[str]) -> list[str]:
    """The names of the outputs that a request asks for; all when it names none.

    Raises RequestError for one that there is not, or that is asked for twice.
    """
    names: list[str] = []
    for index, output in enumerate(request.request_outputs or ()):
        if output.name not in offered:
            raise RequestError(
                f"outputs[{index}].name: is {output.name!r}; ask for {' or '.join(offered)}"
            )
        if output.name in names:
            raise RequestError(f"outputs[{index}].name: {output.name!r} is asked for twice")
        names.append(output.name)
    return names or list(offered)


def rest_answer(answer: InferResponse) -> tuple[bytes, int | None]:
    """The body, and how long its JSON part is when bytes stand behind it."""
    as_bytes = {output.name: output.binary_data for output in answer._requested_outputs or ()}
    described: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for output in answer.outputs:
        shown = {"name": output.name, "shape": output.shape, "datatype": output.datatype}
        asked = as_bytes.get(output.name)
        if answer._use_binary_outputs if asked is None else asked:
            raw = _raw(output)
            shown["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            shown["data"] = output.data.reshape(-1).tolist()
        described.append(shown)
    head = orjson.dumps({"id": answer.id, "model_name": answer.model_name, "outputs": described})
    return (b"".join((head, *behind)), len(head)) if behind else (head, None)


def grpc_answer(answer: InferResponse) -> pb.ModelInferResponse:
    """The message; its tensors are raw bytes when those of the request were."""
    reply = pb.ModelInferResponse(id=answer.id, model_name=answer.model_name)
    for output in answer.outputs:
        tensor = reply.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if answer._use_binary_outputs:
            reply.raw_output_contents.append(_raw(output))
        elif output.datatype == "BYTES":
            tensor.contents.bytes_contents.extend(text.encode() for text in output.data)
        else:
            tensor.contents.fp32_contents.extend(output.data.reshape(-1).tolist())
    return reply


def _raw(output: InferOutput) -> bytes:
    data: npt.NDArray[Any] = output.data
    if output.datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.ascontiguousarray(data).tobytes()
