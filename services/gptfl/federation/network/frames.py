"""What goes over a stream: one frame in each gRPC message, told apart by its first byte.

All but chunks are small JSON objects. A chunk is a piece of a message on its way, with the number
of the transfer that it belongs to and where the piece begins.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROTOCOL = 1
METHOD = "/gptfl.v1.Federation/Stream"
CONTROL_BYTES = 4096
"""Room for a frame that is no chunk, beside the terms of a welcome."""
LARGEST_FRAME = 4 << 20
"""What a client takes, whatever a server is set to."""

_CHUNK = 0
_CHUNK_HEAD = struct.Struct(">BIQ")

_Size = Annotated[int, Field(ge=0, lt=2**48)]
_Id = Annotated[str, Field(min_length=1, max_length=512)]
_Transfer = Annotated[int, Field(ge=0, lt=2**32)]


class FrameError(Exception):
    """The other side sent what is no frame, or one that has no place here; never content."""


class _Frame(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_bytes="base64", val_json_bytes="base64"
    )


class Hello(_Frame):
    """Client: who I am; the first frame of a stream."""

    KIND: ClassVar = 1
    protocol: int
    name: Annotated[str, Field(max_length=256)]
    token: Annotated[str, Field(max_length=256)]


class Welcome(_Frame):
    """Server: you are let in."""

    KIND: ClassVar = 2
    node: _Size
    frame_bytes: Annotated[int, Field(gt=0, le=LARGEST_FRAME)]
    terms: bytes


class _Offer(_Frame):
    """A message that is here, by its size in bytes."""

    id: _Id
    edition: _Id
    """Another for each time that it is encoded: half of one never goes with half of another."""
    header: Annotated[_Size, Field(gt=0)]
    payload: _Size


class _Call(_Frame):
    """A message is to be sent, from a byte on."""

    id: _Id
    transfer: _Transfer
    offset: _Size


class Task(_Offer):
    """Server: this is what I want of you now, and nothing else; so many bytes."""

    KIND: ClassVar = 3


class Want(_Call):
    """Client: send the task from here on."""

    KIND: ClassVar = 4


class Ready(_Offer):
    """Client: I have a reply of so many bytes."""

    KIND: ClassVar = 5


class Grant(_Call):
    """Server: send the reply from here on."""

    KIND: ClassVar = 6


class Done(_Frame):
    """Server: I have the reply, or do not want it; either way, stop sending."""

    KIND: ClassVar = 7
    id: _Id
    accepted: bool


class End(_Frame):
    """Server: there will be no more tasks, ever."""

    KIND: ClassVar = 8


@dataclass(frozen=True)
class Chunk:
    """A piece of a message."""

    transfer: int
    offset: int
    data: memoryview


Frame = Hello | Welcome | Task | Want | Ready | Grant | Done | End | Chunk
_KINDS: dict[int, type[_Frame]] = {
    kind.KIND: kind for kind in (Hello, Welcome, Task, Want, Ready, Grant, Done, End)
}


def pack_frame(frame: Hello | Welcome | Task | Want | Ready | Grant | Done | End) -> bytes:
    """The bytes of a frame that is no chunk."""
    return bytes((frame.KIND,)) + frame.model_dump_json().encode()


def pack_chunk(transfer: int, offset: int, pieces: Iterable[memoryview]) -> bytes:
    """The bytes of a chunk; the one copy on this side of gRPC."""
    return b"".join((_CHUNK_HEAD.pack(_CHUNK, transfer, offset), *pieces))


def unpack_frame(data: bytes) -> Frame:
    """The frame in `data`. Raises FrameError, whatever the bytes are."""
    if not data:
        raise FrameError("an empty frame")
    if data[0] == _CHUNK:
        if len(data) < _CHUNK_HEAD.size:
            raise FrameError("a chunk without its head")
        _, transfer, offset = _CHUNK_HEAD.unpack_from(data)
        return Chunk(transfer, offset, memoryview(data)[_CHUNK_HEAD.size :])
    kind = _KINDS.get(data[0])
    if kind is None:
        raise FrameError(f"a frame of unknown kind {data[0]}")
    try:
        return kind.model_validate_json(data[1:])  # type: ignore[return-value]
    except ValidationError:
        raise FrameError(f"a {kind.__name__} frame that cannot be read") from None
