"""One model that stays in memory while many clients' weights go through it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gptfl.errors import ModelError
from gptfl.federation.arrays import Weights


class WarmModel:
    """A module and its state by name: parameters and buffers, whatever their type of number."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._state: dict[str, torch.Tensor] = module.state_dict()
        self.device = next(module.parameters()).device

    @property
    def trained(self) -> frozenset[str]:
        """The names of the parameters that training moves."""
        named = self.module.named_parameters(remove_duplicate=False)
        return frozenset(name for name, weight in named if weight.requires_grad)

    def load(self, weights: Weights) -> None:
        """Takes over `weights`. Raises ModelError when they are another model's."""
        if weights.keys() != self._state.keys():
            odd = sorted(weights.keys() ^ self._state.keys())
            raise ModelError(f"these are not the model's weights; they differ in {odd[:3]}")
        with torch.no_grad():
            for name, tensor in self._state.items():
                values = weights[name]
                if tensor.shape != values.shape:
                    raise ModelError(
                        f"{name!r} is {list(values.shape)}, the model's is {list(tensor.shape)}"
                    )
                # Torch cannot look at read-only bytes without a warning: hence the copy.
                tensor.copy_(torch.from_numpy(np.array(values)))

    def weights(self) -> dict[str, NDArray[Any]]:
        """The state as it is now; on the CPU these are views, which the next step changes."""
        return {name: tensor.cpu().numpy() for name, tensor in self._state.items()}
