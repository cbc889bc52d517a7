"""How unlike the clients' updates of one round are: gradient diversity, summed up as they pass.

Yin et al., "Gradient Diversity: a Key Ingredient for Scalable Distributed Learning", 2018
(arXiv 1706.05699, Definition 1), for gradients g_i at the same weights:

    diversity = sum_i ||g_i||²  /  ||sum_i g_i||²

GPT-FL (arXiv 2306.02210) follows this number over the rounds of a federation to show what the
start from synthetic data does. As usual in federated learning, g_i is here the update of client i
in the round: its trained parameters less the global ones they were sent as. Equal updates of n
clients give 1/n, orthogonal ones 1, and ones that cancel more than 1, without bound. Each client
counts the same, whatever the strategy weighs it with; buffers (batch statistics) are left out.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gptfl.federation.arrays import Weights


class GradientDiversity:
    """Takes one client's weights after the other; keeps one model's worth of numbers."""

    def __init__(self, sent: Weights, trained: Collection[str]) -> None:
        """`sent` are the global weights of the round, `trained` the names that clients move."""
        self._sent = {name: values for name, values in sent.items() if name in trained}
        self._total: dict[str, NDArray[Any]] = {}
        self._squares = 0.0

    def add(self, weights: Weights) -> None:
        """One client's weights after its turn; names and shapes are those that were sent."""
        for name, before in self._sent.items():
            update = weights[name] - before
            self._squares += _square(update)
            if name in self._total:
                self._total[name] += update
            else:
                self._total[name] = update

    @property
    def value(self) -> float | None:
        """The diversity so far; None when the updates sum up to nothing."""
        together = sum(_square(values) for values in self._total.values())
        ratio = self._squares / together if together else np.inf
        return float(ratio) if np.isfinite(ratio) else None


def _square(values: NDArray[Any]) -> float:
    """The squared Euclidean norm."""
    flat = values.reshape(-1)
    return float(np.dot(flat, flat))
