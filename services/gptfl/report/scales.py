"""Numbers to places: nice ticks, linear scales and labels that don't overlap, for the charts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Scale:
    """A linear map of `[low, high]` to `[0, length]`."""

    low: float
    high: float
    length: float

    def __call__(self, value: float) -> float:
        """The place of `value`; the middle when the domain is a single point."""
        if self.high == self.low:
            return self.length / 2
        # Adding zero turns a negative zero into a plain one.
        return (value - self.low) / (self.high - self.low) * self.length + 0.0


def nice_step(span: float, count: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that cuts `span` into about `count` parts."""
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    factor = next(f for f in (1, 2, 5, 10) if rough <= f * power * (1 + 1e-9))
    return factor * power


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round numbers about `count` steps apart that enclose `low` and `high`.

    >>> ticks(0.12, 0.97)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = nice_step(high - low, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return tuple(round(index * step, digits) for index in range(first, last + 1))


def whole_ticks(low: int, high: int, count: int = 6) -> tuple[int, ...]:
    """Both ends and the round whole numbers between them that don't crowd an end.

    >>> whole_ticks(1, 30)
    (1, 5, 10, 15, 20, 25, 30)
    """
    step = max(1, round(nice_step(max(high - low, 1), count)))
    inner = [
        value
        for value in range(-(-low // step) * step, high, step)
        if value - low >= step / 2 and high - value >= step / 2
    ]
    return tuple(dict.fromkeys([low, *inner, high]))


def decimals(values: Sequence[float], most: int = 6) -> int:
    """The least digits after the point with which none of `values` is rounded."""
    return next((n for n in range(most) if all(abs(v - round(v, n)) < 1e-9 for v in values)), most)


def thin(items: Sequence[Item], most: int) -> tuple[Item, ...]:
    """At most `most` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= most or most < 2:
        return tuple(items[:most]) if most < 2 else tuple(items)
    last = len(items) - 1
    return tuple(items[round(index * last / (most - 1))] for index in range(most))


def spread(places: Sequence[float], gap: float, low: float, high: float) -> tuple[float, ...]:
    """`places` moved apart until neighbours are `gap` away, within `[low, high]`, order kept.

    When they cannot all fit, they are `gap` apart from `low` on.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    floor = low
    for index in order:
        moved[index] = floor = max(moved[index], floor)
        floor += gap
    ceiling = max(high, low + gap * (len(places) - 1))
    for index in reversed(order):
        moved[index] = ceiling = min(moved[index], ceiling)
        ceiling -= gap
    return tuple(moved)
