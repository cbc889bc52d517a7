"""Throws away images that teach nothing: blank ones, repeated ones, ones that show something else.

What happens to an image depends on the images before it, in the order of their numbers, and on
nothing else; an image that was kept stays kept when others are drawn later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import imagehash
import numpy as np
from numpy.typing import NDArray

from gptfl.generation.samples import Sample
from gptfl.spec.generation import FiltersSpec


class Verdict(StrEnum):
    """What becomes of an image; all but `KEPT` are names of filters in reports."""

    KEPT = "kept"
    BLANK = "blank"
    DUPLICATE = "duplicate"
    DISAGREEMENT = "disagreement"


FILTERS = (Verdict.BLANK, Verdict.DUPLICATE, Verdict.DISAGREEMENT)
"""In the order in which they look at an image."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What the filters know of an image."""

    label: int
    contrast: float
    """Standard deviation of the grey values, where black is 0 and white is 1."""
    hash: int
    """Perceptual hash of 64 bits."""


def looks_of(sample: Sample) -> Looks:
    """Contrast and hash of an image.

    The hash is pHash: signs of the lowest 8 x 8 frequencies of the image at 32 x 32 (Zauner 2010,
    "Implementation and Benchmarking of Perceptual Image Hash Functions"; as in `imagehash`).
    """
    grey = sample.image().convert("L")
    bits = imagehash.phash(grey).hash.flatten()
    return Looks(
        sample.item.label,
        float(np.asarray(grey, dtype=np.float64).std() / 255),
        int.from_bytes(np.packbits(bits).tobytes(), "big"),
    )


@dataclass
class Sieve:
    """Judges images in the order in which they are given."""

    spec: FiltersSpec
    _seen: dict[int, "_Hashes"] = field(default_factory=dict)

    def judge(self, looks: Sequence[Looks], scores: NDArray[np.float64] | None) -> list[Verdict]:
        """A verdict for each image; `scores` are the probabilities of their labels, in 0..1."""
        return [
            self._one(one, None if scores is None else float(scores[index]))
            for index, one in enumerate(looks)
        ]

    def _one(self, looks: Looks, score: float | None) -> Verdict:
        blank, duplicates, agreement = self.spec.blank, self.spec.duplicates, self.spec.agreement
        if blank and looks.contrast < blank.minimum_contrast:
            return Verdict.BLANK
        if duplicates:
            seen = self._seen.setdefault(looks.label, _Hashes(duplicates.maximum_distance))
            if not seen.add(looks.hash):
                return Verdict.DUPLICATE
        if agreement and score is not None and score < agreement.minimum_score:
            return Verdict.DISAGREEMENT
        return Verdict.KEPT


class _Hashes:
    """The hashes of a label's images so far."""

    def __init__(self, maximum_distance: int) -> None:
        self._maximum_distance = maximum_distance
        self._exact: set[int] = set()
        self._array = np.zeros(1024, dtype=np.uint64)

    def add(self, value: int) -> bool:
        """False when one is there that differs in at most the given number of bits."""
        if value in self._exact:
            return False
        count = len(self._exact)
        if self._maximum_distance:
            differing = np.bitwise_count(self._array[:count] ^ np.uint64(value))
            if (differing <= self._maximum_distance).any():
                return False
        if count == len(self._array):
            self._array = np.concatenate([self._array, np.zeros_like(self._array)])
        self._array[count] = value
        self._exact.add(value)
        return True
