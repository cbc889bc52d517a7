"""What a request may be: from JSON or tensors of any protocol to rows for the model.

Everything that is wrong with a request is said in one sentence that names the field. Nothing here
knows of HTTP, gRPC or KServe; each modality has a decoder of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from gptfl.errors import DataError, GPTFLError

MAX_INSTANCES = 256
"""Rows in one request."""


class RequestError(DataError):
    """A request that cannot be answered; the message names the field and says what it may be."""


class BusyError(GPTFLError):
    """More requests at once than the server takes."""


class SlowRequestError(Exception):
    """Says that a request takes too long to decode where others wait for their turn."""


@dataclass(frozen=True)
class Tensor:
    """An input tensor of the v2 protocol."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | bytes
    """JSON values, nested or flat, the bytes of each element of a `BYTES` tensor, or the bytes of
    the whole: row-major for numbers, and for `BYTES` each element after its length as 4 bytes,
    little-endian."""


class Decoder(Protocol):
    """The requests of one modality: what they look like, and how they become the model's input.

    With `quick`, a request that takes more than a few milliseconds raises SlowRequestError, and is
    decoded again where it holds up nobody.
    """

    def inputs(self) -> list[dict[str, Any]]:
        """The tensors of which a v2 request has one, as the protocol's metadata describe them."""

    def instances(self, body: Any, *, quick: bool = False) -> torch.Tensor:
        """A row for each instance of a v1 request. Raises RequestError."""

    def tensors(self, inputs: Sequence[Tensor], *, quick: bool = False) -> torch.Tensor:
        """A row for each element of a v2 request. Raises RequestError."""


def check_count(path: str, count: int) -> None:
    """Raises RequestError for an empty request and for one of too many rows."""
    if not 1 <= count <= MAX_INSTANCES:
        raise RequestError(f"{path}: has {count} images; send 1 to {MAX_INSTANCES} in one request")
