"""What every part of a GPTFLRun shares: strict, frozen, camelCase in files, and a canonical form.

The canonical form of a section is what its stage's key is made of, so a field that cannot change a
result (how many workers draw, say) is marked `NOT_IN_KEY` and left out of it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel


class SpecModel(BaseModel):
    """A piece of the resource: unknown fields are refused, values never change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def cel(*rules: tuple[str, str]) -> dict[str, JsonValue]:
    """For a model's `json_schema_extra`: what an API server checks beyond types.

    Each rule is a CEL expression over the model as `self`, and the message when it is false.
    """
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]
    }


@dataclass(frozen=True)
class _NotInKey:
    """Marks a field that says how to compute, never what comes out."""


NOT_IN_KEY = _NotInKey()


def canonical(value: Any) -> Any:
    """The JSON value that stands for `value` in a key: unset and execution-only fields left out.

    Leaving out what is unset lets a later version add an optional field without
    making every stored artifact stale.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            info.alias or name: canonical(getattr(value, name))
            for name, info in fields.items()
            if NOT_IN_KEY not in info.metadata and getattr(value, name) is not None
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    return value


def canonical_json(value: Any) -> bytes:
    """The one byte string for a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def sha256(data: bytes) -> str:
    """The SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
