"""Requests with images: files as base64 or bytes, or raw pixels, brought to the model's shape."""

import base64
import binascii
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from gptfl.data.images import decode_image
from gptfl.errors import DataError
from gptfl.serving.requests import RequestError, SlowRequestError, Tensor, check_count
from gptfl.spec.task import ImageShape

MAX_PIXELS = 16_000_000
"""Pixels in one request before they are brought to the model's shape, so that a few kilobytes
cannot unpack to gigabytes: one in colours that are half transparent takes 25 bytes on the way."""
ALLOWED_PIXELS = f"the {MAX_PIXELS:,} that a request may have; send smaller images, or fewer"
QUICK_PIXELS = 2**17
"""Pixels in a request that is decoded in a few milliseconds, such as two of 256 × 256."""
MAX_SIDE = 16_384
"""Pixels in a row or column: bringing an image to the model's shape takes memory by the side."""
FORMATS = ("PNG", "JPEG", "WEBP")

CHANNELS = ((), (1,), (3,), (4,))
"""What may stand behind rows and columns of raw pixels: nothing or one for grey, RGB, RGBA."""

ENCODED_INPUT = "image"
PIXELS_INPUT = "pixels"

INSTANCE_FORMS = 'send {"image_bytes": {"b64": "…"}}, {"b64": "…"} or pixels as nested lists'
PIXELS_FORM = "send rows of columns (of channels) as whole numbers from 0 to 255"


class ImageDecoder:
    """The `Decoder` of image classification; rows are uint8 [C, H, W]."""

    def __init__(self, shape: ImageShape) -> None:
        self._shape = shape

    def inputs(self) -> list[dict[str, Any]]:
        shape = self._shape
        sides = [-1, shape.height, shape.width, shape.channels]
        return [
            {"name": ENCODED_INPUT, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS_INPUT, "datatype": "UINT8", "shape": sides},
        ]

    def instances(self, body: Any, *, quick: bool = False) -> torch.Tensor:
        if not isinstance(body, dict):
            raise RequestError('body: is not a JSON object; send {"instances": […]}')
        if "instances" not in body:
            raise RequestError('instances: is missing; send {"instances": […]}')
        instances = body["instances"]
        if not isinstance(instances, list):
            raise RequestError("instances: is not a list; send one element for each image")
        check_count("instances", len(instances))
        budget = _PixelBudget(quick=quick)
        return _stacked(
            _image_of_instance(f"instances[{index}]", instance, self._shape, budget)
            for index, instance in enumerate(instances)
        )

    def tensors(self, inputs: Sequence[Tensor], *, quick: bool = False) -> torch.Tensor:
        if len(inputs) != 1:
            raise RequestError(
                f"inputs: has {len(inputs)} tensors; "
                f"send one, {ENCODED_INPUT!r} or {PIXELS_INPUT!r}"
            )
        tensor = inputs[0]
        budget = _PixelBudget(quick=quick)
        if tensor.name == ENCODED_INPUT:
            return _images_of_encoded(tensor, self._shape, budget)
        if tensor.name == PIXELS_INPUT:
            return _images_of_pixels(tensor, self._shape, budget)
        raise RequestError(
            f"inputs[0].name: is {tensor.name!r}; "
            f"send {ENCODED_INPUT!r} (BYTES) or {PIXELS_INPUT!r} (UINT8)"
        )


class _PixelBudget:
    """The pixels that the rest of a request may have."""

    def __init__(self, *, quick: bool) -> None:
        self._quick = quick
        self._left = QUICK_PIXELS if quick else MAX_PIXELS

    def take(self, path: str, height: int, width: int) -> None:
        """Counts one image."""
        if max(height, width) > MAX_SIDE:
            raise RequestError(
                f"{path}: has {width} × {height} pixels; send at most {MAX_SIDE:,} to a side"
            )
        self.spend(path, height * width)

    def spend(self, path: str, pixels: int) -> None:
        """Counts pixels that are of the model's own shape."""
        self._left -= pixels
        if self._left >= 0:
            return
        if self._quick:
            raise SlowRequestError
        raise RequestError(
            f"{path}: has {pixels:,} pixels, with those before it more than {ALLOWED_PIXELS}"
        )


def _image_of_instance(
    path: str, instance: Any, shape: ImageShape, budget: _PixelBudget
) -> torch.Tensor:
    if isinstance(instance, list):
        return _decoded(path, _pixels(path, instance, budget), shape)
    if isinstance(instance, dict) and list(instance) == ["image_bytes"]:
        path, instance = f"{path}.image_bytes", instance["image_bytes"]
        if not isinstance(instance, dict) or list(instance) != ["b64"]:
            raise RequestError(f'{path}: is not {{"b64": "…"}}; {INSTANCE_FORMS}')
    if isinstance(instance, dict) and list(instance) == ["b64"]:
        path += ".b64"
        return _decoded(path, _opened(path, _from_base64(path, instance["b64"]), budget), shape)
    found = f"has the keys {sorted(instance)}" if isinstance(instance, dict) else "is no image"
    raise RequestError(f"{path}: {found}; {INSTANCE_FORMS}")


def _pixels(path: str, rows: list[Any], budget: _PixelBudget) -> npt.NDArray[np.uint8]:
    columns = len(rows[0]) if rows and isinstance(rows[0], list) else 1
    budget.take(path, len(rows), columns)
    pixels = _uint8(path, rows, PIXELS_FORM)
    if pixels.size == 0 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in CHANNELS:
        raise RequestError(f"{path}: has the shape {list(pixels.shape)}; {PIXELS_FORM}")
    return pixels


def _images_of_encoded(tensor: Tensor, shape: ImageShape, budget: _PixelBudget) -> torch.Tensor:
    if tensor.datatype != "BYTES":
        raise RequestError(f"inputs[0].datatype: is {tensor.datatype!r}; {ENCODED_INPUT} is BYTES")
    if len(tensor.shape) != 1:
        raise RequestError(
            f"inputs[0].shape: is {list(tensor.shape)}; send [N], the number of images"
        )
    items = _split(tensor.data) if isinstance(tensor.data, bytes) else tensor.data
    if len(items) != tensor.shape[0]:
        raise RequestError(
            f"inputs[0].data: has {len(items)} elements, and inputs[0].shape says {tensor.shape[0]}"
        )
    check_count("inputs[0].data", len(items))
    paths = [f"inputs[0].data[{index}]" for index in range(len(items))]
    return _stacked(
        _decoded(
            path,
            _opened(path, item if isinstance(item, bytes) else _from_base64(path, item), budget),
            shape,
        )
        for path, item in zip(paths, items, strict=True)
    )


def _images_of_pixels(tensor: Tensor, shape: ImageShape, budget: _PixelBudget) -> torch.Tensor:
    if tensor.datatype != "UINT8":
        raise RequestError(f"inputs[0].datatype: is {tensor.datatype!r}; {PIXELS_INPUT} is UINT8")
    last = [shape.height, shape.width, shape.channels]
    first = [shape.channels, shape.height, shape.width]
    each = list(tensor.shape[1:])
    if len(tensor.shape) != 4 or each not in (last, first):
        expected = " or ".join(f"[N, {', '.join(map(str, sides))}]" for sides in (last, first))
        raise RequestError(f"inputs[0].shape: is {list(tensor.shape)}; send {expected}")
    check_count("inputs[0].shape[0]", tensor.shape[0])
    budget.spend("inputs[0].shape", tensor.shape[0] * shape.height * shape.width)
    if isinstance(tensor.data, bytes):
        flat = np.frombuffer(tensor.data, dtype=np.uint8).copy()
    else:
        flat = _uint8("inputs[0].data", tensor.data, "send whole numbers from 0 to 255").reshape(-1)
    if flat.size != math.prod(tensor.shape):
        raise RequestError(
            f"inputs[0].data: has {flat.size} numbers, and inputs[0].shape says "
            f"{math.prod(tensor.shape)}"
        )
    images = torch.from_numpy(flat.reshape(tuple(tensor.shape)))
    # A side has at least 4 pixels and a pixel at most 3 channels, so the two never look the same.
    return images if each == first else images.permute(0, 3, 1, 2)


def _from_base64(path: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise RequestError(f"{path}: is not a string; send an image's bytes as base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(
            f"{path}: is not base64; encode an image's bytes in one line, as 'base64 -w0' does"
        ) from None


def _split(data: bytes) -> list[bytes]:
    """The elements of a `BYTES` tensor in a binary request."""
    items: list[bytes] = []
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "little")
        end = start + 4 + length
        if end > len(data):
            raise RequestError(
                f"inputs[0].data[{len(items)}]: says that it has {length} bytes, and "
                f"{max(len(data) - start - 4, 0)} are left; send each element after its length as "
                "4 bytes, little-endian"
            )
        items.append(data[start + 4 : end])
        start = end
    return items


def _uint8(path: str, values: Any, form: str) -> npt.NDArray[np.uint8]:
    try:
        # As objects: else numpy gives every string the room of the longest one.
        found = np.array(values, dtype=np.object_)
    except ValueError:
        raise RequestError(f"{path}: is not a regular array; {form}") from None
    kinds = set(map(type, found.flat))
    if list in kinds:
        raise RequestError(f"{path}: is not a regular array; {form}")
    try:
        numbers = found.astype(np.int64) if kinds <= {int} else None
    except OverflowError:
        numbers = None
    if numbers is None or (numbers.size and (numbers.min() < 0 or numbers.max() > 255)):
        raise RequestError(f"{path}: has other values than whole numbers from 0 to 255; {form}")
    return numbers.astype(np.uint8)


def _opened(path: str, data: bytes, budget: _PixelBudget) -> Image.Image:
    """The image with its header read and nothing unpacked yet."""
    try:
        with warnings.catch_warnings():
            # Pillow's own limit comes later than the one here, and only warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise RequestError(f"{path}: has more pixels than {ALLOWED_PIXELS}") from None
    except (OSError, ValueError, SyntaxError):
        raise RequestError(f"{path}: is not an image; send PNG, JPEG or WebP as base64") from None
    budget.take(path, image.height, image.width)
    return image


def _decoded(
    path: str, image: Image.Image | npt.NDArray[np.uint8], shape: ImageShape
) -> torch.Tensor:
    try:
        return decode_image(image, shape)
    except DataError as error:
        raise RequestError(f"{path}: {error}") from error


def _stacked(images: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(images))
