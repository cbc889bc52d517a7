"""What a strategy remembers between rounds, as arrays and JSON: so that a round can be resumed.

A strategy of Flower keeps its memory in its attributes (momentum, moments, the last global
weights) and has no method to save them. Here the attributes are walked: arrays, records of
arrays, numbers, text, None, and lists, tuples and dicts of these are kept; a strategy inside a
strategy is walked too; functions, types and enumerations are the constructor's, and stay.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from pydantic import BaseModel

from gptfl.errors import SpecError
from gptfl.federation.arrays import decode, encode


@dataclass(frozen=True)
class StrategyState:
    """A strategy's memory."""

    outline: str = "{}"
    """JSON: each attribute, with the numbers of its arrays in place of them."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """By number: copies, so that a strategy may change its own in place."""


def capture(strategy: Strategy) -> StrategyState:
    """What `strategy` remembers now.

    Raises SpecError for an attribute that cannot be kept, since a run that is resumed without it
    would not be the run that was interrupted.
    """
    writer = _Writer()
    outline = json.dumps(writer.attributes(strategy))
    return StrategyState(outline, writer.arrays)


def restore(strategy: Strategy, state: StrategyState) -> None:
    """Makes `strategy` remember `state` and nothing else; it was made as the captured one was."""
    _restore(strategy, json.loads(state.outline), state.arrays)


class _Writer:
    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def attributes(self, strategy: Strategy) -> dict[str, Any]:
        outline: dict[str, Any] = {}
        for name, value in vars(strategy).items():
            if isinstance(value, Strategy):
                outline[name] = ["strategy", self.attributes(value)]
            elif not _is_constant(value):
                outline[name] = self._node(value, f"{type(strategy).__name__}.{name}")
        return outline

    def _node(self, value: Any, where: str) -> Any:
        """Plain values stand for themselves; everything else is ``[kind, content]``."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.ndarray):
            return ["array", self._array(value, where)]
        if isinstance(value, np.generic):
            return ["scalar", self._array(np.asarray(value), where)]
        if isinstance(value, ArrayRecord):
            return ["record", [[name, self._array(x, where)] for name, x in decode(value).items()]]
        if isinstance(value, list | tuple):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return [kind, [self._node(item, where) for item in value]]
        if isinstance(value, dict):
            return [
                "dict",
                [[self._node(k, where), self._node(v, where)] for k, v in value.items()],
            ]
        raise SpecError.of(
            "spec.federation.strategy",
            f"{where} is a {type(value).__name__}, which no checkpoint can hold; "
            "keep numbers, text, numpy arrays, ArrayRecords, or lists and dicts of these",
        )

    def _array(self, value: NDArray[Any], where: str) -> str:
        if value.dtype.kind not in "biuf":
            raise SpecError.of(
                "spec.federation.strategy",
                f"{where} holds an array of {value.dtype}; keep arrays of numbers",
            )
        number = str(len(self.arrays))
        self.arrays[number] = np.array(value, order="C")
        return number


def _restore(
    strategy: Strategy, outline: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    for name, value in list(vars(strategy).items()):
        if name not in outline and not _is_constant(value):
            delattr(strategy, name)
    for name, node in outline.items():
        if isinstance(node, list) and node[0] == "strategy":
            _restore(getattr(strategy, name), node[1], arrays)
        else:
            setattr(strategy, name, _value(node, arrays))


def _value(node: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if not isinstance(node, list):
        return node
    kind, content = node
    if kind == "array":
        return np.array(arrays[content])
    if kind == "scalar":
        return arrays[content][()]
    if kind == "record":
        return encode({name: arrays[number] for name, number in content})
    if kind == "dict":
        return {_value(key, arrays): _value(value, arrays) for key, value in content}
    items = [_value(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items


def _is_constant(value: Any) -> bool:
    """What a constructor sets and nothing changes afterwards."""
    frozen = isinstance(value, BaseModel) and bool(value.model_config.get("frozen"))
    return callable(value) or isinstance(value, Enum) or frozen
