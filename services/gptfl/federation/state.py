"""A federation between two rounds, and the bytes of its checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import TypeAdapter

from gptfl.errors import StoreError
from gptfl.federation.arrays import Weights
from gptfl.federation.results import RoundRecord
from gptfl.federation.strategy_state import StrategyState

_RECORDS = TypeAdapter(tuple[RoundRecord, ...])


@dataclass(frozen=True)
class FederationState:
    """All that the next round depends on, and what the rounds before it came to."""

    weights: Weights
    """The global model."""
    records: tuple[RoundRecord, ...]
    """From round 0 to the last one that was done."""
    strategy: StrategyState = field(default_factory=StrategyState)
    """What the strategy remembers."""
    seconds: float = 0.0
    """Wall-clock time of the rounds, over all attempts."""
    complaint: str = ""
    """What the last client that failed had to say."""

    @property
    def round(self) -> int:
        """The last round that was done."""
        return self.records[-1].round

    def to_bytes(self) -> bytes:
        """One safetensors file, so that it is written whole or not at all."""
        tensors = {f"model/{name}": np.asarray(values) for name, values in self.weights.items()}
        tensors |= {f"strategy/{key}": values for key, values in self.strategy.arrays.items()}
        about = {
            "names": json.dumps(list(self.weights)),
            "records": _RECORDS.dump_json(self.records).decode(),
            "strategy": self.strategy.outline,
            "seconds": repr(self.seconds),
            "complaint": self.complaint,
        }
        return safetensors.numpy.save(tensors, metadata=about)

    @classmethod
    def from_bytes(cls, data: bytes) -> "FederationState":
        """What `to_bytes` wrote. Raises StoreError for anything else."""
        try:
            tensors = safetensors.numpy.load(data)
            about = _metadata(data)
            names = json.loads(about["names"])
            return cls(
                weights={name: tensors[f"model/{name}"] for name in names},
                records=_RECORDS.validate_json(about["records"]),
                strategy=StrategyState(about["strategy"], _below("strategy/", tensors)),
                seconds=float(about["seconds"]),
                complaint=about["complaint"],
            )
        except (safetensors.SafetensorError, KeyError, ValueError) as error:
            raise StoreError(
                f"the checkpoint of a federation is damaged ({error}); remove it with "
                "'gptfl artifacts remove' and run again"
            ) from error


def _metadata(data: bytes) -> Mapping[str, str]:
    """The header's free text; safetensors' own reader of it needs a file."""
    length = int.from_bytes(data[:8], "little")
    about: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return about


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }
