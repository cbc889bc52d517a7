"""Weights as bytes and back: safetensors, so reading them can never run code."""

from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from gptfl.errors import ModelError


def weights_to_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    """The same tensors give the same bytes, whatever their device and order."""
    return safetensors.torch.save(
        {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    )


def weights_from_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """The tensors, on the CPU. Raises ModelError for what is not safetensors."""
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"weights are not readable as safetensors ({error})") from error


def load_weights(module: nn.Module, state: Mapping[str, Any], origin: str) -> None:
    """Puts `state` into `module`. Raises ModelError that names the first tensor in the way.

    `origin` is where the weights are from, for the error line.
    """
    problem = mismatch(module, state)
    if problem is not None:
        raise ModelError(f"{origin}: {problem}; use weights that were trained with this model")
    module.load_state_dict(dict(state))


def mismatch(module: nn.Module, state: Mapping[str, torch.Tensor]) -> str | None:
    """Why `state` does not fit `module`: a name too many or too few, or another shape."""
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in state:
            return f"{name!r} is missing"
        if state[name].shape != tensor.shape:
            return f"{name!r} is {list(state[name].shape)}, the model's is {list(tensor.shape)}"
    extra = sorted(set(state) - set(own))
    return f"{extra[0]!r} is not in the model" if extra else None
