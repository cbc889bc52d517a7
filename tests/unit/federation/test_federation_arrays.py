"""Weights travel as Flower's own bytes, and back without a change."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gptfl.federation.arrays import as_dtype, decode, decode_array, encode, encode_array

ARRAYS = hnp.arrays(
    st.sampled_from(["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(ARRAYS)
def test_the_bytes_are_those_that_flower_writes(values: np.ndarray) -> None:
    assert encode_array(values) == Array(np.array(values, order="C"))


@given(ARRAYS)
def test_an_array_comes_back_as_it_was(values: np.ndarray) -> None:
    back = decode_array(encode_array(values))
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert back.tobytes() == values.tobytes()


def test_a_record_keeps_the_names_in_order_and_is_one_to_flower() -> None:
    record = encode({"z": np.ones(2, np.float32), "a": np.zeros((), np.int64)})
    assert isinstance(record, ArrayRecord)
    assert list(decode(record)) == ["z", "a"]
    assert [list(array.shape) for array in map(np.asarray, record.to_numpy_ndarrays())] == [[2], []]


def test_what_is_decoded_lies_where_it_came_from_and_cannot_be_written_to() -> None:
    assert not decode_array(encode_array(np.ones(3))).flags.writeable


def test_column_major_bytes_of_another_writer_are_read_too() -> None:
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert np.array_equal(decode_array(Array(values)), values)


@pytest.mark.parametrize(
    "wrong",
    [
        Array("float32", (3,), "numpy.ndarray", Array(np.zeros(2, np.float32)).data),
        Array("float64", (2,), "numpy.ndarray", Array(np.zeros(2, np.float32)).data),
        Array("float32", (2,), "numpy.ndarray", Array(np.zeros(2, np.float32)).data[:-1]),
        Array("float32", (2,), "numpy.ndarray", b"no array"),
        Array("float32", (2,), "pickle", Array(np.zeros(2, np.float32)).data),
        Array("object", (2,), "numpy.ndarray", b""),
        Array("float32", (-1,), "numpy.ndarray", b""),
        Array("no type", (2,), "numpy.ndarray", b""),
    ],
)
def test_bytes_that_are_not_what_the_array_says_are_refused(wrong: Array) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_array(wrong)


def test_integers_are_rounded_and_floats_only_cast() -> None:
    assert as_dtype(np.array([1.6, -1.6]), np.dtype(np.int64)).tolist() == [2, -2]
    assert as_dtype(np.array([0.25]), np.dtype(np.float32)).dtype == np.float32
