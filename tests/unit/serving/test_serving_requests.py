"""A request is images of the model's shape, or one sentence that names the field."""

import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from served_model import SHAPE, as_base64, digit, png

from gptfl.data.images import decode_image
from gptfl.serving import images
from gptfl.serving.images import MAX_PIXELS, ImageDecoder
from gptfl.serving.requests import MAX_INSTANCES, RequestError, Tensor
from gptfl.spec.task import ImageShape

SEVEN = digit(7)
PNG = png(SEVEN)
B64 = as_base64(PNG)
RGB = ImageShape(channels=3, height=8, width=8)
DECODER = ImageDecoder(SHAPE)


def encoded(*items: str | bytes, shape: list[int] | None = None) -> Tensor:
    return Tensor("image", "BYTES", shape or [len(items)], list(items))


def pixels(array: np.ndarray, shape: list[int] | None = None) -> Tensor:
    return Tensor("pixels", "UINT8", shape or list(array.shape), array.tolist())


def framed(*items: bytes) -> bytes:
    return b"".join(len(item).to_bytes(4, "little") + item for item in items)


@pytest.mark.parametrize(
    "instance",
    [
        {"image_bytes": {"b64": B64}},
        {"b64": B64},
        SEVEN.tolist(),
        SEVEN[:, :, None].tolist(),
        SEVEN[:, :, None].repeat(3, axis=2).tolist(),
    ],
)
def test_every_form_of_an_instance_is_the_same_image(instance: object) -> None:
    rows = DECODER.instances({"instances": [instance]})
    assert rows.dtype == torch.uint8
    assert rows.tolist() == [[SEVEN.tolist()]]


@pytest.mark.parametrize(
    "tensor",
    [
        encoded(B64),
        Tensor("image", "BYTES", [1], framed(PNG)),
        pixels(SEVEN[None, :, :, None]),
        pixels(SEVEN[None, None]),
        Tensor("pixels", "UINT8", [1, 8, 8, 1], SEVEN.reshape(-1).tolist()),
        Tensor("pixels", "UINT8", [1, 1, 8, 8], SEVEN.tobytes()),
    ],
)
def test_every_form_of_a_tensor_is_the_same_image(tensor: Tensor) -> None:
    assert DECODER.tensors([tensor]).tolist() == [[SEVEN.tolist()]]


def test_channels_may_stand_first_or_last() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    last = ImageDecoder(RGB).tensors([pixels(colours)])
    first = ImageDecoder(RGB).tensors([pixels(colours.transpose(0, 3, 1, 2))])
    assert torch.equal(last, first)
    assert last[1, 2, 3, 4] == colours[1, 3, 4, 2]


def test_an_image_of_another_shape_is_treated_as_in_training() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    rows = DECODER.instances({"instances": [{"b64": as_base64(png(photo))}]})
    assert torch.equal(rows[0], decode_image(png(photo), SHAPE))


def test_the_order_of_the_instances_is_kept() -> None:
    rows = DECODER.instances({"instances": [digit(i).tolist() for i in range(5)]})
    assert [row[0].tolist() for row in rows] == [digit(i).tolist() for i in range(5)]


WRONG_INSTANCES = [
    ([], 'body: is not a JSON object; send {"instances": […]}'),
    ({}, 'instances: is missing; send {"instances": […]}'),
    ({"instances": "x"}, "instances: is not a list; send one element for each image"),
    ({"instances": []}, "instances: has 0 images; send 1 to 256 in one request"),
    ({"instances": [0] * 257}, "instances: has 257 images; send 1 to 256 in one request"),
    ({"instances": [None]}, "instances[0]: is no image; send"),
    ({"instances": [{"b64": B64}, "x"]}, "instances[1]: is no image; send"),
    ({"instances": [{"image": B64}]}, "instances[0]: has the keys ['image']; send"),
    ({"instances": [{"image_bytes": B64}]}, 'instances[0].image_bytes: is not {"b64": "…"}; send'),
    ({"instances": [{"b64": 7}]}, "instances[0].b64: is not a string; send"),
    ({"instances": [{"b64": "*"}]}, "instances[0].b64: is not base64; encode"),
    ({"instances": [{"b64": "ü"}]}, "instances[0].b64: is not base64; encode"),
    (
        {"instances": [{"image_bytes": {"b64": as_base64(b"no image")}}]},
        "instances[0].image_bytes.b64: is not an image; send PNG, JPEG or WebP as base64",
    ),
    ({"instances": [{"b64": ""}]}, "instances[0].b64: is not an image; send PNG"),
    (
        {"instances": [{"b64": as_base64(png(digit(0).repeat(9, 0))[:-30])}]},
        "instances[0].b64: cannot be read as an image",
    ),
    ({"instances": [[]]}, "instances[0]: has the shape [0]; send rows"),
    ({"instances": [[[]]]}, "instances[0]: has the shape [1, 0]; send rows"),
    ({"instances": [[1, 2]]}, "instances[0]: has the shape [2]; send rows"),
    ({"instances": [[[[1, 2]]]]}, "instances[0]: has the shape [1, 1, 2]; send rows"),
    ({"instances": [[[1, 2], [3]]]}, "instances[0]: is not a regular array; send rows"),
    ({"instances": [[[1, 256]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[[1, -1]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[[0.5, 0.5]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[[True, False]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[["1", "2"]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[[10**30, 1]]]}, "instances[0]: has other values than whole numbers"),
    ({"instances": [[[None, 1]]]}, "instances[0]: has other values than whole numbers"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_INSTANCES)
def test_a_wrong_v1_request_is_told_what_to_send(body: object, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        DECODER.instances(body)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


WRONG_TENSORS = [
    ([], "inputs: has 0 tensors; send one, 'image' or 'pixels'"),
    ([encoded(B64), encoded(B64)], "inputs: has 2 tensors; send one"),
    ([Tensor("x", "BYTES", [1], [B64])], "inputs[0].name: is 'x'; send 'image' (BYTES) or"),
    ([Tensor("image", "FP32", [1], [B64])], "inputs[0].datatype: is 'FP32'; image is BYTES"),
    ([encoded(B64, shape=[1, 1])], "inputs[0].shape: is [1, 1]; send [N]"),
    ([encoded(B64, shape=[2])], "inputs[0].data: has 1 elements, and inputs[0].shape says 2"),
    ([encoded(B64, shape=[-1])], "inputs[0].data: has 1 elements, and inputs[0].shape says -1"),
    ([encoded(shape=[0])], "inputs[0].data: has 0 images; send 1 to 256"),
    ([encoded("*")], "inputs[0].data[0]: is not base64"),
    ([Tensor("image", "BYTES", [1], [7])], "inputs[0].data[0]: is not a string"),
    ([encoded(B64, as_base64(b"x"))], "inputs[0].data[1]: is not an image"),
    ([Tensor("image", "BYTES", [1], b"\x09\0\0\0abc")], "inputs[0].data[0]: says that it has 9"),
    ([Tensor("image", "BYTES", [1], b"\x09")], "inputs[0].data[0]: says that it has 9"),
    ([Tensor("pixels", "INT64", [1, 8, 8, 1], [0] * 64)], "inputs[0].datatype: is 'INT64'"),
    (
        [Tensor("pixels", "UINT8", [1, 9, 9, 1], [0] * 81)],
        "inputs[0].shape: is [1, 9, 9, 1]; send [N, 8, 8, 1] or [N, 1, 8, 8]",
    ),
    ([Tensor("pixels", "UINT8", [8, 8], [0] * 64)], "inputs[0].shape: is [8, 8]; send [N"),
    ([Tensor("pixels", "UINT8", [], [])], "inputs[0].shape: is []; send [N"),
    ([Tensor("pixels", "UINT8", [0, 8, 8, 1], [])], "inputs[0].shape[0]: has 0 images"),
    ([Tensor("pixels", "UINT8", [-1, 8, 8, 1], [0] * 64)], "inputs[0].shape[0]: has -1 images"),
    ([Tensor("pixels", "UINT8", [257, 8, 8, 1], [])], "inputs[0].shape[0]: has 257 images"),
    (
        [Tensor("pixels", "UINT8", [2, 8, 8, 1], [0] * 64)],
        "inputs[0].data: has 64 numbers, and inputs[0].shape says 128",
    ),
    ([Tensor("pixels", "UINT8", [1, 8, 8, 1], b"123")], "inputs[0].data: has 3 numbers"),
    ([Tensor("pixels", "UINT8", [1, 8, 8, 1], [0.5] * 64)], "inputs[0].data: has other values"),
    ([Tensor("pixels", "UINT8", [1, 8, 8, 1], [256] * 64)], "inputs[0].data: has other values"),
    ([Tensor("pixels", "UINT8", [1, 8, 8, 1], [[1], 2])], "inputs[0].data: is not a regular"),
]


@pytest.mark.parametrize(("inputs", "message"), WRONG_TENSORS)
def test_a_wrong_v2_request_is_told_what_to_send(inputs: list[Tensor], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        DECODER.tensors(inputs)
    assert str(raised.value).startswith(message)


def bomb(width: int, height: int) -> str:
    """The head of a PNG that would unpack to width times height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    return as_base64(b"\x89PNG\r\n\x1a\n" + parts)


def test_an_image_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(RequestError, match=r"has 100,000,000 pixels, with those before it more"):
        DECODER.instances({"instances": [{"b64": bomb(10000, 10000)}]})
    with pytest.raises(
        RequestError, match=r"instances\[0\]\.b64: has more pixels than the 16,000,000"
    ):
        DECODER.instances({"instances": [{"b64": bomb(16000, 16000)}]})


DECODING = """
import re, sys
from pathlib import Path
import torch
from served_model import as_base64
from gptfl.serving.images import ImageDecoder
from gptfl.spec.task import ImageShape

def peak():
    # Not getrusage, which begins with the peak of whoever started the process.
    found = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024

decoder = ImageDecoder(ImageShape(channels=3, height=8, width=8))
body = {"instances": [{"b64": as_base64(sys.stdin.buffer.read())}]}
before = peak()
decoder.instances(body)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_largest_image_that_is_taken_needs_a_few_hundred_mebibytes() -> None:
    photo = png(np.zeros((4000, MAX_PIXELS // 4000, 4), dtype=np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", DECODING],
        input=photo,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(photo) < 2**20
    assert 100 * 2**20 < int(done.stdout) < 400 * 2**20


def test_a_very_long_image_is_refused() -> None:
    with pytest.raises(RequestError, match=r"has 20000 × 4 pixels; send at most 16,384 to a side"):
        DECODER.instances({"instances": [{"b64": bomb(20000, 4)}]})


def test_the_pixels_of_a_request_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 150)
    DECODER.instances({"instances": [{"b64": B64}] * 2})
    with pytest.raises(RequestError, match=r"instances\[2\]\.b64: has 64 pixels, with those"):
        DECODER.instances({"instances": [{"b64": B64}] * 3})


def test_a_long_string_among_pixels_takes_its_own_room_and_not_that_of_all() -> None:
    row = ["x" * 100_000, *[""] * 99]
    tracemalloc.start()
    with pytest.raises(RequestError, match="has other values than whole numbers"):
        DECODER.instances({"instances": [[row]]})
    with pytest.raises(RequestError, match="has other values than whole numbers"):
        DECODER.tensors([Tensor("pixels", "UINT8", [1, 8, 8, 1], row)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_other_image_formats_are_not_opened() -> None:
    data = png(SEVEN)
    with pytest.raises(RequestError, match="is not an image; send PNG, JPEG or WebP"):
        DECODER.instances({"instances": [{"b64": as_base64(b"BM" + data)}]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(B64),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "image_bytes", "b64", "x"]), inner, max_size=2
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(instances=st.lists(JSON, max_size=3))
def test_any_json_is_either_images_or_refused(instances: list[object]) -> None:
    try:
        rows = DECODER.instances({"instances": instances})
    except RequestError:
        return
    assert rows.shape == (len(instances), 1, 8, 8)
    assert len(instances) <= MAX_INSTANCES


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["image", "pixels"]),
    datatype=st.sampled_from(["BYTES", "UINT8"]),
    shape=st.lists(st.sampled_from([-1, 0, 1, 2, 8]), max_size=4),
    data=st.binary(max_size=130) | st.lists(JSON, max_size=3),
)
def test_any_tensor_is_either_images_or_refused(
    name: str, datatype: str, shape: list[int], data: bytes | list[object]
) -> None:
    try:
        rows = DECODER.tensors([Tensor(name, datatype, shape, data)])
    except RequestError:
        return
    assert rows.shape == (shape[0], 1, 8, 8)
