"""A v2 body over HTTP: JSON, or JSON and bytes behind it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferRequest

from gptfl.serving.requests import RequestError
from gptfl.serving.tensors import JSON_LENGTH, read_infer_request

TENSOR = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}


def read(content: object, behind: bytes = b"", *, length: str | None = None) -> InferRequest:
    head = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {JSON_LENGTH: length or str(len(head))} if behind or length else {}
    return read_infer_request(head + behind, headers, "digits")


def binary(size: object) -> dict[str, object]:
    tensor = {name: TENSOR[name] for name in ("name", "datatype", "shape")}
    return tensor | {"parameters": {"binary_data_size": size}}


def test_json_alone() -> None:
    request = read({"id": "7", "inputs": [TENSOR], "outputs": [{"name": "label"}]})
    assert (request.id, request.model_name) == ("7", "digits")
    assert [(t.name, t.datatype, t.shape, t.data) for t in request.inputs] == [
        ("image", "BYTES", [1], ["aGk="])
    ]
    assert [output.name for output in request.request_outputs] == ["label"]


def test_bytes_behind_the_json_stay_bytes_and_keep_their_order() -> None:
    request = read({"inputs": [binary(2), TENSOR, binary(3)]}, b"\xff\0abc")
    assert [tensor.data for tensor in request.inputs] == [b"\xff\0", ["aGk="], b"abc"]


def test_all_outputs_can_be_asked_for_as_bytes() -> None:
    request = read({"inputs": [TENSOR], "parameters": {"binary_data_output": True}})
    assert request.use_binary_outputs


@pytest.mark.parametrize(
    ("content", "behind", "length", "message"),
    [
        (b"", b"", None, "body: is not JSON (EOF while parsing"),
        (b"{", b"", None, "body: is not JSON (EOF while parsing"),
        (b"\xff", b"", None, "body: is not JSON ("),
        (b"[" * 1000, b"", None, "body: is not JSON (recursion limit exceeded"),
        ([], b"", None, "body: "),
        ({}, b"", None, "inputs: is missing"),
        ({"inputs": 1}, b"", None, "inputs: "),
        ({"inputs": [{}]}, b"", None, "inputs[0].name: is missing"),
        ({"inputs": [TENSOR | {"shape": ["x"]}]}, b"", None, "inputs[0].shape[0]: "),
        ({"inputs": [TENSOR | {"data": "x"}]}, b"", None, "inputs[0].data: "),
        ({"inputs": [binary(None)]}, b"", None, "inputs[0].parameters.binary_data_size."),
        ({"inputs": [binary(2) | {"parameters": {}}]}, b"", None, "inputs[0].data: is missing; s"),
        ({"inputs": [binary(9)]}, b"abc", None, "inputs[0].parameters.binary_data_size: is 9; the"),
        ({"inputs": [binary(-1)]}, b"abc", None, "inputs[0].parameters.binary_data_size: is -1;"),
        ({"inputs": [binary(True)]}, b"abc", None, "inputs[0].parameters.binary_data_size: is T"),
        ({"inputs": [binary("2")]}, b"abc", None, "inputs[0].parameters.binary_data_size: is '2'"),
        ({"inputs": [binary(2)]}, b"abc", None, "body: has 1 bytes after the last tensor; say"),
        ({"inputs": [TENSOR]}, b"abc", "9999", "inference-header-content-length: is '9999'; send"),
        ({"inputs": [TENSOR]}, b"", "-1", "inference-header-content-length: is '-1'; send"),
        ({"inputs": [TENSOR]}, b"", "²", "inference-header-content-length: is '²'; send"),
    ],
)
def test_a_wrong_body_is_told_which_field(
    content: object, behind: bytes, length: str | None, message: str
) -> None:
    with pytest.raises(RequestError) as raised:
        read(content, behind, length=length)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=50), length=st.none() | st.integers(-1, 60).map(str))
def test_any_bytes_are_refused(body: bytes, length: str | None) -> None:
    headers = {} if length is None else {JSON_LENGTH: length}
    with pytest.raises(RequestError):
        read_infer_request(body, headers, "digits")
