"""Reads v2 requests over HTTP: JSON alone, or JSON first and the tensors' bytes behind it.

KServe's own reader turns the bytes of a `BYTES` tensor into text, which an image is not, and those
of a number tensor into a Python list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.rest.v2_datamodels import InferenceRequest, RequestInput
from pydantic import ValidationError

from gptfl.serving.requests import RequestError

JSON_LENGTH = "inference-header-content-length"
"""The header that says where the JSON ends and bytes begin."""


def read_infer_request(body: bytes, headers: Mapping[str, str], model_name: str) -> InferRequest:
    """The request in a v2 body; tensors that stand behind the JSON have bytes as their data.

    Raises RequestError, which names the field.
    """
    length = _json_length(headers.get(JSON_LENGTH), len(body))
    try:
        request = _Request.model_validate_json(body[:length])
    except ValidationError as error:
        raise RequestError(_first_problem(error)) from None
    inputs = []
    start = length
    for index, tensor in enumerate(request.inputs):
        data: Any = tensor.data
        if data is None:
            end = start + _binary_size(index, tensor.parameters, len(body) - start)
            data, start = body[start:end], end
        inputs.append(InferInput(tensor.name, tensor.shape, tensor.datatype, data))
    if start != len(body):
        raise RequestError(
            f"body: has {len(body) - start} bytes after the last tensor; "
            "say each tensor's in parameters.binary_data_size"
        )
    return InferRequest(
        model_name,
        inputs,
        request_id=request.id,
        parameters=request.parameters,
        request_outputs=[RequestedOutput(o.name, o.parameters) for o in request.outputs or ()],
    )


class _Input(RequestInput):  # type: ignore[misc]  # kserve has no types
    """A tensor whose data stand in the JSON or, when absent, behind it."""

    data: list[Any] | None = None


class _Request(InferenceRequest):  # type: ignore[misc]
    """The JSON part."""

    inputs: list[_Input]


def _json_length(header: str | None, available: int) -> int:
    if header is None:
        return available
    if not (header.isascii() and header.isdigit() and int(header) <= available):
        raise RequestError(
            f"{JSON_LENGTH}: is {header!r}; send the bytes of the JSON part, "
            f"at most the body's {available}"
        )
    return int(header)


def _binary_size(index: int, parameters: Mapping[str, Any] | None, available: int) -> int:
    size = (parameters or {}).get("binary_data_size")
    if size is None:
        raise RequestError(
            f"inputs[{index}].data: is missing; send it, or parameters.binary_data_size and the "
            "bytes behind the JSON"
        )
    if type(size) is not int or not 0 <= size <= available:
        raise RequestError(
            f"inputs[{index}].parameters.binary_data_size: is {size!r}; "
            f"the body has {available} bytes left"
        )
    return size


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"body: is not JSON ({first['ctx']['error']})"
    message = "is missing" if first["type"] == "missing" else first["msg"]
    return f"{_field(first['loc'])}: {message[:1].lower()}{message[1:]}"


def _field(path: Sequence[int | str]) -> str:
    """The field as it stands in the JSON: ``inputs[0].shape``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".") or "body"
