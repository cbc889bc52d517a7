"""Which clients take part in a round."""

from collections.abc import Sequence

import numpy as np

from gptfl.seeds import derive_seed


def select(clients: Sequence[int], per_round: int, seed: int, round_number: int) -> tuple[int, ...]:
    """The clients of a round, ascending: `per_round` of `clients`, each set as likely as another.

    A function of its arguments alone, so a resumed run selects as the uninterrupted one. All
    clients when there are not more than `per_round`.
    """
    generator = np.random.default_rng(derive_seed(seed, "select", round_number))
    count = min(per_round, len(clients))
    chosen = generator.choice(len(clients), size=count, replace=False)
    return tuple(sorted(clients[int(index)] for index in chosen))
