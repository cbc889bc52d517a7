"""Asking again, with pauses that grow and differ between those who ask."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gptfl.errors import StoreUnavailableError

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds. Doubling in between; each is shortened by chance, so that many do not come at once."""


@dataclass(frozen=True)
class Retry:
    """How long an attempt that may do later is repeated."""

    patience: Callable[[], float]
    """Seconds since the first failure."""
    told: Callable[[str], None] = lambda reason: None
    """Of each repetition."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def __call__(self, attempt: Callable[[], T]) -> T:
        """What the first attempt that ends well gives. Raises what may not do later at once."""
        failing_since, pause = None, _FIRST_PAUSE
        while True:
            try:
                return attempt()
            except StoreUnavailableError as error:
                wait = pause * (0.5 + self.chance() / 2)
                failing_since = self.clock() if failing_since is None else failing_since
                if self.clock() + wait - failing_since > self.patience():
                    raise
                self.told(error.reason)
                self.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)
