"""Weights into Flower's arrays and back, to the byte as Flower does it but without its copies.

Flower keeps an array as the bytes of a `.npy` file. Reading one with `numpy.load` parses a Python
literal and copies, for each tensor of each reply, several times a round; here the header is known
beforehand and the numbers are looked at where they lie.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]
"""A model's parameters and buffers by their names in its state."""

_STYPE = "numpy.ndarray"


def encode(weights: Weights) -> ArrayRecord:
    """The record that stands for `weights`, names in their order."""
    record = ArrayRecord()
    for name, values in weights.items():
        record[name] = encode_array(values)
    return record


def decode(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The weights in a record, as read-only views of its bytes.

    Raises ValueError for bytes that are not what the record says of them.
    """
    return {name: decode_array(array) for name, array in record.items()}


def encode_array(values: NDArray[Any]) -> Array:
    """One array; its numbers are copied once."""
    dtype, shape = dtype_name(values.dtype), values.shape
    numbers = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    data = b"".join((_header(dtype, shape), numbers.data))
    return Array(dtype=dtype, shape=shape, stype=_STYPE, data=data)


def decode_array(array: Array) -> NDArray[Any]:
    """One array, as a read-only view of its bytes."""
    if array.stype != _STYPE:
        raise ValueError(f"an array is kept as {array.stype!r} instead of {_STYPE!r}")
    try:
        header = _header(array.dtype, tuple(array.shape))
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"no array has type {array.dtype!r}, shape {array.shape!r}") from error
    if not array.data.startswith(header):
        return _decode_slowly(array)
    dtype = np.dtype(array.dtype)
    if len(array.data) != len(header) + dtype.itemsize * math.prod(array.shape):
        raise ValueError(f"an array of shape {tuple(array.shape)} has {len(array.data)} bytes")
    return np.frombuffer(array.data, dtype, offset=len(header)).reshape(array.shape)


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """What Flower calls a type of number: ``float32``."""
    return str(dtype)


def as_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values in another type; integers and truth values are rounded, not cut off."""
    rounded = values if np.issubdtype(dtype, np.inexact) else np.rint(values)
    return np.asarray(rounded).astype(dtype, copy=False)


def _decode_slowly(array: Array) -> NDArray[Any]:
    """For bytes that another writer laid out: column-major, or with a header of its own."""
    values: NDArray[Any] = np.load(BytesIO(array.data), allow_pickle=False)
    if dtype_name(values.dtype) != array.dtype or values.shape != tuple(array.shape):
        raise ValueError(f"an array says {array.dtype}{array.shape}, its bytes {values.dtype}")
    return values


@lru_cache(maxsize=4096)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers in a `.npy` file of version 1.0."""
    kind = np.dtype(dtype)
    if kind.hasobject or any(size < 0 for size in shape):
        raise ValueError("not an array of plain numbers")
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer,
        {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape},
    )
    return buffer.getvalue()
