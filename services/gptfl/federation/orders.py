"""What the server tells a client beside the weights: the round, its seed, how to train."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

from flwr.app import ConfigRecord, RecordDict

from gptfl.spec.federation import LocalSpec


@dataclass(frozen=True)
class Orders:
    """The settings of one client's turn, so that a client needs nothing but its data."""

    KEY: ClassVar[str] = "gptfl"
    """The name of the record in a message; apart from the strategy's own settings."""

    round: int
    seed: int
    """The client's own in this round, in [0, 2**63)."""
    local: LocalSpec

    def to_record(self) -> ConfigRecord:
        """As a message carries them."""
        return ConfigRecord({"round": self.round, "seed": self.seed, "local": _text(self.local)})

    @classmethod
    def of(cls, content: RecordDict) -> "Orders":
        """The orders in a message. Raises KeyError or ValidationError when there are none."""
        record = content.config_records[cls.KEY]
        local = _local(cast("str", record["local"]))
        return cls(cast("int", record["round"]), cast("int", record["seed"]), local)


def task_name(key: str, what: str, client: str) -> str:
    """What a task of the federation that makes the artifact `key` is called, in any process."""
    return f"{key[:16]}/{what}/{client}"


def proximal_mu(content: RecordDict) -> float:
    """FedProx's pull, which Flower's strategy writes into its own settings; 0 without one."""
    for record in content.config_records.values():
        if "proximal-mu" in record:
            return float(cast("float", record["proximal-mu"]))
    return 0.0


@lru_cache(maxsize=64)
def _text(local: LocalSpec) -> str:
    return local.model_dump_json(by_alias=True)


@lru_cache(maxsize=64)
def _local(text: str) -> LocalSpec:
    return LocalSpec.model_validate_json(text)
