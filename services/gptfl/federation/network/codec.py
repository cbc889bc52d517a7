"""Flower's messages as bytes: a small JSON header, then the arrays' own buffers one after another.

Nothing here is ever pickled, and no message exists in one piece: a sender cuts frames out of the
buffers where they lie, a receiver writes them into one buffer for each array. What the other side
claims is checked against bounds before anything is kept.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import accumulate
from typing import Annotated, Any, Literal
from uuid import uuid4

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, MetricRecord, RecordDict
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

REASON_CHARACTERS = 4096
"""Of an error; the rest is cut off."""


class CodecError(Exception):
    """Bytes that are no message, or one beyond its bounds; the text never holds content."""


@dataclass(frozen=True)
class Limits:
    """What a message may be, at most."""

    header: int
    """Bytes."""
    payload: int
    """Bytes."""
    items: int
    """Arrays, metrics and settings."""

    def admit(self, header: int, payload: int) -> bool:
        return 0 < header <= self.header and payload <= self.payload


@dataclass(frozen=True)
class Packed:
    """A message that can be sent any number of times, from any byte on; shares its buffers."""

    header: bytes
    buffers: tuple[memoryview, ...]
    payload: int
    edition: str
    """Unlike that of any other."""
    is_error: bool = False

    @property
    def size(self) -> int:
        return len(self.header) + self.payload

    def pieces(self, offset: int, most: int) -> list[memoryview]:
        """The `most` bytes from `offset` on, where they lie."""
        end = min(self.size, offset + most)
        found = []
        index = bisect_right(self._starts, offset) - 1
        while offset < end:
            start, view = self._starts[index], self._views[index]
            part = view[offset - start : end - start]
            found.append(part)
            offset, index = offset + len(part), index + 1
        return found

    @cached_property
    def _views(self) -> tuple[memoryview, ...]:
        return memoryview(self.header), *self.buffers

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self._views))]


def pack(content: RecordDict | Error, about: Mapping[str, str]) -> Packed:
    """The bytes of `content`; `about` says what else the receiver has to know."""
    buffers: list[memoryview] = []
    head: dict[str, Any] = {"about": dict(about)}
    if isinstance(content, Error):
        reason = None if content.reason is None else content.reason[:REASON_CHARACTERS]
        head["error"] = {"code": content.code, "reason": reason}
    else:
        head["records"] = [_pack_record(key, content[key], buffers) for key in content]
    header = json.dumps(head, separators=(",", ":")).encode()
    payload, is_error = sum(map(len, buffers)), isinstance(content, Error)
    return Packed(header, tuple(buffers), payload, uuid4().hex, is_error)


def _pack_record(
    key: str, record: ArrayRecord | MetricRecord | ConfigRecord, buffers: list[memoryview]
) -> dict[str, Any]:
    if isinstance(record, ArrayRecord):
        arrays = [
            [name, array.dtype, list(array.shape), array.stype, _keep(array.data, buffers)]
            for name, array in record.items()
        ]
        return {"kind": "arrays", "key": key, "items": arrays}
    if isinstance(record, MetricRecord):
        return {"kind": "metrics", "key": key, "items": list(record.items())}
    settings = [[name, _pack_setting(value, buffers)] for name, value in record.items()]
    return {"kind": "settings", "key": key, "items": settings}


def _pack_setting(value: Any, buffers: list[memoryview]) -> Any:
    if isinstance(value, bytes):
        return {"bytes": _keep(value, buffers)}
    if isinstance(value, list):
        return [_pack_setting(item, buffers) for item in value]
    return value


def _keep(data: bytes, buffers: list[memoryview]) -> int:
    buffers.append(memoryview(data))
    return len(data)


_Size = Annotated[int, Field(ge=0, lt=2**48)]


def _sixty_four_bits(value: Any) -> Any:
    """Not a bound on the type: a number beyond it would be taken for a float, and infinite."""
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int) and not -(2**63) <= number < 2**64:
            raise ValueError("a number beyond 64 bits")
    return value


_Bounded = AfterValidator(_sixty_four_bits)
_Shape = Annotated[list[_Size], Field(max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Blob(_Part):
    bytes: _Size


_Metric = int | float | list[int] | list[float]
_Setting = bool | int | float | str | _Blob
_Settings = list[bool] | list[int] | list[float] | list[str] | list[_Blob]


class _Arrays(_Part):
    kind: Literal["arrays"]
    key: str
    items: list[tuple[str, str, _Shape, str, _Size]]

    def lengths(self) -> list[int]:
        return [item[-1] for item in self.items]

    def build(self, blobs: Iterator[bytes]) -> ArrayRecord:
        record = ArrayRecord()
        for name, dtype, shape, stype, _ in self.items:
            record[name] = Array(dtype=dtype, shape=tuple(shape), stype=stype, data=next(blobs))
        return record


class _Metrics(_Part):
    kind: Literal["metrics"]
    key: str
    items: list[tuple[str, Annotated[_Metric, _Bounded]]]

    def lengths(self) -> list[int]:
        return []

    def build(self, blobs: Iterator[bytes]) -> MetricRecord:
        return MetricRecord(dict(self.items))


class _Configs(_Part):
    kind: Literal["settings"]
    key: str
    items: list[tuple[str, Annotated[_Setting | _Settings, _Bounded]]]

    def lengths(self) -> list[int]:
        values = [value for _, value in self.items]
        flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
        return [blob.bytes for blob in flat if isinstance(blob, _Blob)]

    def build(self, blobs: Iterator[bytes]) -> ConfigRecord:
        return ConfigRecord({name: _setting(value, blobs) for name, value in self.items})


def _setting(value: Any, blobs: Iterator[bytes]) -> Any:
    if isinstance(value, list):
        return [_setting(item, blobs) for item in value]
    return next(blobs) if isinstance(value, _Blob) else value


class _Error(_Part):
    code: Annotated[int, Field(ge=0, lt=2**31)]
    reason: Annotated[str, Field(max_length=REASON_CHARACTERS)] | None


class _Header(_Part):
    about: dict[str, str]
    error: _Error | None = None
    records: list[Annotated[_Arrays | _Metrics | _Configs, Field(discriminator="kind")]] = []


class Assembly:
    """A message as it comes in: holds no more than what has come, and never more than was said."""

    def __init__(self, edition: str, header: int, payload: int, limits: Limits) -> None:
        """Raises CodecError when the sizes that were announced are out of bounds."""
        if not limits.admit(header, payload):
            raise CodecError(f"{header} and {payload} bytes are not what the other side may send")
        self.edition = edition
        self.header, self.payload = header, payload
        self.received = 0
        self._limits = limits
        self._head: _Header | None = None
        self._open = _buffer(header)
        self._left = header
        self._lengths: Iterator[int] = iter(())
        self._blobs: list[bytes] = []

    @property
    def size(self) -> int:
        return self.header + self.payload

    @property
    def complete(self) -> bool:
        return self.received == self.size

    def feed(self, offset: int, data: memoryview) -> None:
        """Takes the bytes that follow. Raises CodecError for others, and for a bad header."""
        if offset != self.received or len(data) > self.size - offset:
            raise CodecError(f"bytes from {offset} on where those from {self.received} are due")
        self.received += len(data)
        while data:
            part = data[: self._left]
            self._open.write(part)
            data, self._left = data[len(part) :], self._left - len(part)
            if not self._left:
                self._close_buffer()

    def _close_buffer(self) -> None:
        done = self._open.getvalue()
        if self._head is None:
            self._head = self._read_header(done)
        else:
            self._blobs.append(done)
        for length in self._lengths:
            if length:
                self._open, self._left = _buffer(length), length
                return
            self._blobs.append(b"")

    def _read_header(self, data: bytes) -> _Header:
        try:
            head = _Header.model_validate_json(data)
        except ValidationError:
            raise CodecError("a header that cannot be read") from None
        if sum(len(record.items) for record in head.records) > self._limits.items:
            raise CodecError(f"more than {self._limits.items} arrays, metrics and settings")
        lengths = [length for record in head.records for length in record.lengths()]
        if sum(lengths) != self.payload:
            raise CodecError("a header whose lengths do not add up to the payload")
        self._lengths = iter(lengths)
        return head

    def result(self) -> tuple[RecordDict | Error, dict[str, str]]:
        """The message, once complete. Raises CodecError when Flower would not have it."""
        if self._head is None or not self.complete:
            raise CodecError("a message that is not complete")
        if self._head.error is not None:
            return Error(self._head.error.code, self._head.error.reason), self._head.about
        blobs = iter(self._blobs)
        try:
            made = [(record.key, record.build(blobs)) for record in self._head.records]
            return RecordDict(dict(made)), self._head.about
        except (TypeError, ValueError):
            raise CodecError("records that Flower does not know") from None


def _buffer(length: int) -> BytesIO:
    """Room for so many bytes, taken at once: growing would copy, and leave holes in the memory.

    When it is full its bytes can be had without a copy.
    """
    buffer = BytesIO()
    buffer.seek(length - 1)
    buffer.write(b"\0")
    buffer.seek(0)
    return buffer
