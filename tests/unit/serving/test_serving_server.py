"""The server as a process: both protocols, probes, metrics, wrong requests, and how it ends."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from served_model import LABELS, as_base64, digit, free_port, png, served

from gptfl.errors import GPTFLError, ModelError
from gptfl.models.folder import load_classifier
from gptfl.serving.server import serve
from gptfl.serving.tensors import JSON_LENGTH

PREDICT = "/v1/models/digits:predict"
INFER = "/v2/models/digits/infer"
BINARY = "application/octet-stream"


@pytest.fixture(scope="module")
def expected(model_folder: Path) -> np.ndarray:
    """What the model says of the digits 0 to 31, each alone: float32 [32, 10]."""
    torch.set_num_threads(1)
    classifier = load_classifier(model_folder)
    images = torch.from_numpy(np.stack([digit(index) for index in range(32)]))[:, None]
    return np.concatenate([classifier.predict(images[index : index + 1]) for index in range(32)])


def instance(index: int) -> dict[str, Any]:
    return {"image_bytes": {"b64": as_base64(png(digit(index)))}}


def encoded(*indices: int) -> dict[str, Any]:
    data = [as_base64(png(digit(index))) for index in indices]
    return {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}


def pixels(index: int) -> dict[str, Any]:
    data = digit(index).reshape(-1).tolist()
    return {"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": data}


def predicted(client: httpx.Client, *instances: object) -> list[dict[str, Any]]:
    answer = client.post(PREDICT, json={"instances": instances})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"])


def inferred(client: httpx.Client, tensor: object, **more: object) -> dict[str, dict[str, Any]]:
    answer = client.post(INFER, json={"inputs": [tensor]} | more)
    assert answer.status_code == 200, answer.text
    return {output["name"]: output for output in answer.json()["outputs"]}


def test_v1_gives_the_models_own_probabilities(client: httpx.Client, expected: np.ndarray) -> None:
    (prediction,) = predicted(client, instance(3))
    assert list(prediction["probabilities"]) == LABELS
    assert list(prediction["probabilities"].values()) == expected[3].tolist()
    assert prediction["label"] == LABELS[expected[3].argmax()]


def test_v1_and_v2_and_pixels_and_png_give_the_same_numbers(
    client: httpx.Client, expected: np.ndarray
) -> None:
    of_v1 = [
        list(predicted(client, form)[0]["probabilities"].values())
        for form in (instance(5), digit(5).tolist())
    ]
    of_v2 = [inferred(client, form)["probabilities"]["data"] for form in (encoded(5), pixels(5))]
    assert of_v1 == of_v2 == [expected[5].tolist()] * 2


def test_each_instance_has_its_prediction_in_order(
    client: httpx.Client, expected: np.ndarray
) -> None:
    predictions = predicted(client, *(instance(index) for index in range(32)))
    rows = [list(prediction["probabilities"].values()) for prediction in predictions]
    # A batch is summed in another order than single images are.
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-7)


def test_v2_says_type_and_shape_of_what_it_gives(client: httpx.Client) -> None:
    outputs = inferred(client, encoded(0, 1, 2))
    assert {name: (o["datatype"], o["shape"]) for name, o in outputs.items()} == {
        "label": ("BYTES", [3]),
        "probabilities": ("FP32", [3, 10]),
    }
    assert set(outputs["label"]["data"]) <= set(LABELS)


def test_v2_gives_the_outputs_that_are_asked_for(client: httpx.Client) -> None:
    assert list(inferred(client, encoded(0), outputs=[{"name": "label"}])) == ["label"]


def test_v2_answers_with_the_requests_id(client: httpx.Client) -> None:
    answer = client.post(INFER, json={"id": "request-7", "inputs": [encoded(0)]}).json()
    assert (answer["id"], answer["model_name"]) == ("request-7", "digits")


def test_v2_takes_and_gives_bytes(client: httpx.Client, expected: np.ndarray) -> None:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 1]}
    head = json.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": 64}}],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {JSON_LENGTH: str(len(head)), "content-type": BINARY}
    answer = client.post(INFER, content=head + digit(9).tobytes(), headers=headers)
    assert answer.status_code == 200, answer.text
    behind = answer.content[int(answer.headers[JSON_LENGTH]) :]
    assert np.frombuffer(behind, dtype=np.float32).tolist() == expected[9].tolist()


def test_32_requests_at_once_are_all_answered_right(
    client: httpx.Client, expected: np.ndarray
) -> None:
    def ask(index: int) -> list[float]:
        if index % 2:
            return list(inferred(client, encoded(index))["probabilities"]["data"])
        return list(predicted(client, instance(index))[0]["probabilities"].values())

    with ThreadPoolExecutor(max_workers=32) as pool:
        rows = list(pool.map(ask, range(32)))
    # They share passes, and a batch is summed in another order than single images are.
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-7)


def test_the_model_describes_itself(client: httpx.Client) -> None:
    metadata = client.get("/v2/models/digits").json()
    assert metadata["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 8, 8, 1]},
    ]
    assert metadata["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
    ]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", {"status": "alive"}),
        ("/v1/models", {"models": ["digits"]}),
        ("/v1/models/digits", {"name": "digits", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/digits/ready", {"name": "digits", "ready": True}),
    ],
)
def test_probes(client: httpx.Client, path: str, content: object) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (200, content)


def test_metrics_count_what_was_answered(client: httpx.Client) -> None:
    def count() -> float:
        lines = client.get("/metrics").text.splitlines()
        name = 'request_predict_seconds_count{model_name="digits"}'
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = count()
    predicted(client, instance(0))
    inferred(client, encoded(0))
    assert count() == before + 2


WRONG = [
    (PREDICT, b"{", 400, "body: is not JSON ("),
    (PREDICT, b"[" * 100_000, 400, "body: is not JSON ("),
    (PREDICT, b"\xff\xfe", 400, "body: is not JSON ("),
    (PREDICT, b"", 400, "body: is not JSON ("),
    (PREDICT, {}, 400, 'instances: is missing; send {"instances": […]}'),
    (PREDICT, [], 400, "body: is not a JSON object; send"),
    (PREDICT, {"instances": []}, 400, "instances: has 0 images; send 1 to 256 in one request"),
    (PREDICT, {"instances": [[[0]]] * 257}, 400, "instances: has 257 images; send 1 to 256"),
    (
        PREDICT,
        {"instances": [instance(0), instance(1), {"image_bytes": {"b64": "aGk="}}]},
        400,
        "instances[2].image_bytes.b64: is not an image; send PNG, JPEG or WebP as base64",
    ),
    (INFER, b"{", 400, "body: is not JSON ("),
    (INFER, b"\0" * 100, 400, "body: is not JSON ("),
    (INFER, {}, 400, "inputs: is missing"),
    (INFER, {"inputs": []}, 400, "inputs: has 0 tensors; send one"),
    (INFER, {"inputs": [encoded(0) | {"name": "x"}]}, 400, "inputs[0].name: is 'x'; send"),
    (INFER, {"inputs": [encoded(0) | {"shape": [9]}]}, 400, "inputs[0].data: has 1 elements, and"),
    (INFER, {"inputs": [encoded(0) | {"data": ["aGk="]}]}, 400, "inputs[0].data[0]: is not an im"),
    (INFER, {"inputs": [pixels(0) | {"datatype": "FP32"}]}, 400, "inputs[0].datatype: is 'FP32'"),
    (INFER, {"inputs": [encoded(0)], "outputs": [{"name": "x"}]}, 400, "outputs[0].name: is 'x'"),
    (
        INFER,
        {"inputs": [encoded(0)], "outputs": [{"name": "label"}] * 9},
        400,
        "outputs[1].name: 'label' is asked for twice",
    ),
    ("/v1/models/other:predict", {"instances": [instance(0)]}, 404, "Model with name other does"),
    ("/v2/models/other/infer", {"inputs": [encoded(0)]}, 404, "Model with name other does not"),
    ("/v2/models/digits/versions/1/infer", {"inputs": [encoded(0)]}, 501, "Model versioning"),
    ("/v1/models/digits:explain", {}, 501, "digits: cannot explain"),
    ("/v2/repository/models/digits/unload", {}, 501, "digits: cannot be unloaded; stop the"),
    ("/v2/repository/models/digits/load", {}, 501, "digits: cannot be loaded; start a server"),
    ("/v2/models/digits", {}, 405, "Method Not Allowed"),
    ("/nowhere", {}, 404, "Not Found"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), WRONG)
def test_a_wrong_request_is_refused_in_one_sentence(
    client: httpx.Client, path: str, body: object, status: int, message: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(message)
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_body_of_more_than_32_mebibytes_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=b" " * (32 * 2**20 + 1))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: has more than 33554432 bytes; send")


def test_a_large_body_of_unknown_length_is_refused(client: httpx.Client) -> None:
    answer = client.post(PREDICT, content=(b" " * 2**20 for _ in range(40)))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: has more than 33554432 bytes; send")


def test_what_is_quoted_of_a_request_is_cut_and_has_no_line_ends(client: httpx.Client) -> None:
    tensor = encoded(0) | {"name": "x\n" * 10_000}
    error = client.post(INFER, json={"inputs": [tensor]}).json()["error"]
    assert len(error) <= 500
    assert "\n" not in error


def test_json_needs_no_content_type(client: httpx.Client) -> None:
    content = json.dumps({"instances": [instance(0)]}).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(PREDICT, content=content, headers=form).status_code == 200


def test_nothing_else_is_offered(client: httpx.Client) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_a_port_in_use_is_said_in_one_line(client: httpx.Client, model_folder: Path) -> None:
    port = client.base_url.port
    with pytest.raises(GPTFLError) as raised:
        serve(model_folder, name="digits", port=port)
    assert str(raised.value) == (
        f"port {port} of 127.0.0.1: is in use; stop what listens there or choose another port"
    )


def test_an_address_of_another_machine_is_said_in_one_line(model_folder: Path) -> None:
    with pytest.raises(GPTFLError, match=r"^port \d+ of 192.0.2.1: cannot be taken; use an addr"):
        serve(model_folder, name="digits", port=free_port(), host="192.0.2.1")


def test_a_folder_without_a_model_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config.json: cannot be read .*; name a model folder$"):
        serve(tmp_path, name="digits", port=free_port())


def test_sigterm_lets_the_request_in_work_end(model_folder: Path) -> None:
    body = json.dumps({"instances": [instance(0)]}).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    with served(model_folder) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body[:10])
            # The answer to another request says that the head of this one has been read.
            server.client.get("/v2/health/live").raise_for_status()
            server.process.send_signal(signal.SIGTERM)
            while _accepts(server.port):
                time.sleep(0.02)
            connection.sendall(body[10:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        _, log = server.process.communicate(timeout=60)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert server.process.returncode == 0
    assert [line.split(" ", 3)[3] for line in log.splitlines()] == [
        f"serving digits at http://127.0.0.1:{server.port}{PREDICT} "
        f"and at grpc://{server.rpc_address}",
        "stopped",
    ]


def test_ctrl_c_ends_it_quietly(model_folder: Path) -> None:
    with served(model_folder) as server:
        server.process.send_signal(signal.SIGINT)
        _, log = server.process.communicate(timeout=60)
    assert server.process.returncode == 0
    assert log.splitlines()[-1].endswith("stopped")
    assert "Traceback" not in log


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
