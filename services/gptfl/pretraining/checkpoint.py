"""The state of an unfinished training as one safetensors file, so that it is whole or absent.

Random state is not in it: each epoch begins with generators seeded from its number, and the
learning rate is a function of the step, so an epoch needs nothing but weights and optimiser.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import nn

from gptfl.pretraining.results import EpochRecord
from gptfl.spec.base import SpecModel


class Progress(SpecModel):
    """What else is kept beside the tensors."""

    epochs: tuple[EpochRecord, ...] = ()
    """The epochs done."""
    seconds: float = 0.0
    """Time they took, over all attempts."""


@dataclass(frozen=True)
class Trained:
    """A model in training."""

    module: nn.Module
    optimizer: torch.optim.Optimizer


def to_bytes(trained: Trained, progress: Progress) -> bytes:
    """The checkpoint after an epoch."""
    tensors = {f"weight/{name}": value for name, value in trained.module.state_dict().items()}
    state: Mapping[int, Mapping[str, object]] = trained.optimizer.state_dict()["state"]
    for index, values in state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"progress": progress.model_dump_json()},
    )


def restore(data: bytes, trained: Trained) -> Progress:
    """Puts weights and optimiser back as they were; returns what had been done."""
    tensors = safetensors.torch.load(data)
    weights = {
        name.removeprefix("weight/"): value
        for name, value in tensors.items()
        if name.startswith("weight/")
    }
    trained.module.load_state_dict(weights)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
    groups = trained.optimizer.state_dict()["param_groups"]
    trained.optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Progress.model_validate_json(_metadata(data)["progress"])


def _metadata(data: bytes) -> Mapping[str, str]:
    """The words in a safetensors file's header: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return found
