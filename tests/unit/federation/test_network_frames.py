"""Frames: each comes back as it was, and no bytes are anything but a frame or a FrameError."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gptfl.federation.network.frames import (
    Chunk,
    Done,
    End,
    Frame,
    FrameError,
    Grant,
    Hello,
    Ready,
    Task,
    Want,
    Welcome,
    pack_chunk,
    pack_frame,
    unpack_frame,
)


@pytest.mark.parametrize(
    "frame",
    [
        Hello(protocol=1, name="a", token="t"),
        Welcome(node=3, frame_bytes=1024, terms=b"\x00\xff"),
        Task(id="r1", edition="e", header=10, payload=2**40),
        Want(id="r1", transfer=1, offset=0),
        Ready(id="r1", edition="e", header=10, payload=0),
        Grant(id="r1", transfer=2, offset=7),
        Done(id="r1", accepted=True),
        End(),
    ],
)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    assert unpack_frame(pack_frame(frame)) == frame  # type: ignore[arg-type]


def test_a_chunk_is_a_view_of_the_bytes_that_came() -> None:
    data = pack_chunk(7, 2**33, [memoryview(b"ab"), memoryview(b"c")])
    chunk = unpack_frame(data)
    assert isinstance(chunk, Chunk)
    assert (chunk.transfer, chunk.offset, bytes(chunk.data)) == (7, 2**33, b"abc")
    assert chunk.data.obj is data


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x00")
@example(b"\x03" + b"[" * 10_000)
def test_any_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        unpack_frame(data)


@pytest.mark.parametrize(
    "data",
    [
        b'\x01{"protocol":1,"name":"a"}',
        b'\x01{"protocol":"1","name":"a","token":""}',
        b'\x03{"id":"r","edition":"e","header":-1,"payload":0}',
        b'\x03{"id":"r","edition":"e","header":1,"payload":281474976710656}',
        b'\x03{"id":"","edition":"e","header":1,"payload":1}',
        b'\x05{"id":"r","edition":"e","header":0,"payload":0}',
        b'\x08{"more":1}',
        b"\x09{}",
    ],
)
def test_fields_are_checked(data: bytes) -> None:
    with pytest.raises(FrameError):
        unpack_frame(data)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(FrameError) as caught:
        unpack_frame(b'\x01{"token":"secret"}')
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
