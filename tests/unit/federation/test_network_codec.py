"""Messages as bytes: what comes out is what went in, and nonsense is refused with one error."""

import json
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from gptfl.federation.network.codec import Assembly, CodecError, Limits, Packed, pack

AMPLE = Limits(header=1 << 20, payload=1 << 20, items=1000)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
arrays = st.builds(
    lambda dtype, shape, data: Array(dtype, tuple(shape), "numpy.ndarray", data),
    st.sampled_from(["float32", "int64", "bool"]),
    st.lists(st.integers(0, 9), max_size=3),
    st.binary(max_size=200),
)
metrics = st.one_of(integers, floats, st.lists(integers), st.lists(floats))
scalars = [st.booleans(), integers, floats, texts, st.binary(max_size=50)]
settings = st.one_of(*scalars, *(st.lists(kind, max_size=4) for kind in scalars))
records = st.one_of(
    st.dictionaries(names, arrays, max_size=4).map(ArrayRecord),
    st.dictionaries(names, metrics, max_size=4).map(MetricRecord),
    st.dictionaries(names, settings, max_size=4).map(ConfigRecord),
)
contents = st.dictionaries(names, records, max_size=4).map(RecordDict)


def send(packed: Packed, limits: Limits = AMPLE, most: int = 1 << 20) -> Assembly:
    assembly = Assembly(packed.edition, len(packed.header), packed.payload, limits)
    while not assembly.complete:
        pieces = packed.pieces(assembly.received, most)
        assembly.feed(assembly.received, memoryview(b"".join(pieces)))
    return assembly


def plain(content: RecordDict) -> list[Any]:
    """A content as values that compare, NaN included."""
    made = []
    for key, record in content.items():
        for name, value in record.items():
            seen = vars(value) if isinstance(value, Array) else value
            made.append((key, type(record).__name__, name, repr(seen)))
    return made


@given(contents, st.integers(1, 64))
def test_what_comes_out_is_what_went_in_however_it_is_cut(content: RecordDict, most: int) -> None:
    made, about = send(pack(content, {"type": "train"}), most=most).result()
    assert isinstance(made, RecordDict)
    assert plain(made) == plain(content)
    assert about == {"type": "train"}


def test_numbers_keep_their_kind_and_their_last_bit() -> None:
    said = {"whole": 1, "broken": 1.0, "thin": 5e-324, "third": 1 / 3, "no": math.nan}
    made, _ = send(pack(RecordDict({"m": MetricRecord(dict(said))}), {})).result()
    assert repr(dict(made["m"])) == repr(said)  # type: ignore[index]


def test_an_error_arrives_with_its_reason_cut_to_size() -> None:
    made, _ = send(pack(Error(2, "x" * 10_000), {})).result()
    assert isinstance(made, Error)
    assert (made.code, made.reason) == (2, "x" * 4096)


def test_sending_shares_the_arrays_buffers() -> None:
    array = Array(np.zeros(1000, np.float32))
    packed = pack(RecordDict({"arrays": ArrayRecord({"w": array})}), {})
    assert packed.buffers[0].obj is array.data
    assert all(piece.obj in (array.data, packed.header) for piece in packed.pieces(0, 1 << 20))


def test_a_transfer_goes_on_from_any_byte() -> None:
    data = bytes(range(256)) * 4
    content = RecordDict(
        {"arrays": ArrayRecord({"w": Array("uint8", (1024,), "numpy.ndarray", data)})}
    )
    packed = pack(content, {})
    assembly = Assembly(packed.edition, len(packed.header), packed.payload, AMPLE)
    for _ in range(3):
        pieces = packed.pieces(assembly.received, 150)
        assembly.feed(assembly.received, memoryview(b"".join(pieces)))
    rest = b"".join(packed.pieces(assembly.received, packed.size))
    assembly.feed(assembly.received, memoryview(rest))
    made, _ = assembly.result()
    assert made["arrays"]["w"].data == data  # type: ignore[index]


@given(st.binary(max_size=300), st.integers(0, 50))
def test_a_header_of_any_bytes_is_refused_in_one_way(header: bytes, payload: int) -> None:
    refuses(header, payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
almost = st.fixed_dictionaries(
    {},
    optional={
        "about": json_values | st.just({}),
        "error": json_values | st.fixed_dictionaries({"code": json_values, "reason": json_values}),
        "records": st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(["arrays", "metrics", "settings", "pickle"]),
                    "key": json_values | st.text(max_size=3),
                    "items": st.lists(st.lists(json_values, max_size=6), max_size=4),
                }
            ),
            max_size=3,
        ),
    },
)


@given(almost, st.integers(0, 50))
def test_almost_a_header_is_refused_in_the_same_way(head: dict[str, Any], payload: int) -> None:
    refuses(json.dumps(head).encode(), payload)


def refuses(header: bytes, payload: int) -> None:
    """Feeds bytes that may be anything; nothing but a CodecError may come of it."""
    try:
        assembly = Assembly("e", len(header), payload, AMPLE)
        assembly.feed(0, memoryview(header + bytes(payload)))
        assembly.result()
    except CodecError:
        pass


@pytest.mark.parametrize(
    ("header", "payload"),
    [(0, 0), (AMPLE.header + 1, 0), (10, AMPLE.payload + 1)],
)
def test_sizes_out_of_bounds_are_refused_before_a_byte_comes(header: int, payload: int) -> None:
    with pytest.raises(CodecError, match="not what the other side may send"):
        Assembly("e", header, payload, AMPLE)


def test_lengths_must_add_up_before_anything_is_kept() -> None:
    item = ["w", "float32", [1], "numpy.ndarray", 2**40]
    head = {"about": {}, "records": [{"kind": "arrays", "key": "a", "items": [item]}]}
    header = json.dumps(head).encode()
    assembly = Assembly("e", len(header), 4, AMPLE)
    with pytest.raises(CodecError, match="do not add up"):
        assembly.feed(0, memoryview(header))


def test_too_many_items_are_refused() -> None:
    record = MetricRecord({str(index): index for index in range(AMPLE.items + 1)})
    with pytest.raises(CodecError, match="more than 1000"):
        send(pack(RecordDict({"m": record}), {}))


def test_numbers_beyond_64_bits_are_refused() -> None:
    record = MetricRecord({"num-examples": 10**4000})
    with pytest.raises(CodecError, match="cannot be read"):
        send(pack(RecordDict({"m": record}), {}))


@pytest.mark.parametrize("offset", [0, 5, 7, 10**12])
def test_bytes_from_elsewhere_are_refused(offset: int) -> None:
    packed = pack(RecordDict({}), {})
    assembly = Assembly(packed.edition, len(packed.header), packed.payload, AMPLE)
    assembly.feed(0, memoryview(packed.header[:6]))
    with pytest.raises(CodecError, match="from 6 are due"):
        assembly.feed(offset, memoryview(b"x"))


def test_more_bytes_than_were_announced_are_refused() -> None:
    packed = pack(RecordDict({}), {})
    assembly = Assembly(packed.edition, len(packed.header), packed.payload, AMPLE)
    with pytest.raises(CodecError):
        assembly.feed(0, memoryview(packed.header + b"x"))


def test_half_a_message_is_none() -> None:
    packed = pack(RecordDict({}), {})
    assembly = Assembly(packed.edition, len(packed.header), packed.payload, AMPLE)
    with pytest.raises(CodecError, match="not complete"):
        assembly.result()
