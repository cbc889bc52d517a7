"""Draws digits as pens do, stroke by stroke: the variants writers use that few fonts hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Strokes = list[Points]
Random = np.random.Generator

CANVAS = 72  # pixels of the square that a digit is drawn on
BODY = 48  # height of the digit in its middle


def draw(digit: int, random: Random) -> NDArray[np.uint8]:
    """A white digit on black, as one of its variants."""
    strokes = [_tremble(stroke, random) for stroke in DIGITS[digit](random)]
    width = float(random.uniform(4.0, 11.0))
    image = Image.new("L", (2 * CANVAS, 2 * CANVAS))
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = (stroke * BODY + [CANVAS / 2 - 0.3 * BODY, (CANVAS - BODY) / 2]) * 2
        _ink(pen, points, width * 2)
    return np.asarray(image.reduce(2))


def _ink(pen: ImageDraw.ImageDraw, points: Points, width: float) -> None:
    pen.line([(float(x), float(y)) for x, y in points], fill=255, width=round(width))
    radius = width / 2
    for x, y in points:  # round joints and ends: Pillow's own joints leave notches
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _tremble(stroke: Points, random: Random) -> Points:
    """A slow wave along the stroke, and a small shift of the whole: no two strokes meet exactly."""
    phase = np.linspace(0, 1, len(stroke))[:, None]
    wave = sum(
        random.normal(0, 0.014 / k, 2) * np.sin(np.pi * k * phase + random.uniform(0, 6.28))
        for k in (1, 2, 3)
    )
    return np.asarray(stroke + wave + random.normal(0, 0.008, 2), dtype=np.float64)


def _line(*corners: tuple[float, float]) -> Points:
    parts = [np.linspace(a, b, 8, endpoint=False) for a, b in pairwise(corners)]
    return np.concatenate([*parts, [corners[-1]]])


def _curve(*knots: tuple[float, float]) -> Points:
    """Catmull-Rom through the knots."""
    p = np.array([_before(knots), *knots, _before(knots[::-1])], dtype=np.float64)
    t = np.linspace(0, 1, 10, endpoint=False)[:, None]
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, [knots[-1]]])


def _before(knots: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    (x0, y0), (x1, y1) = knots[0], knots[1]
    return 2 * x0 - x1, 2 * y0 - y1


def _arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float, end: float
) -> Points:
    """Around `centre` from `start` to `end` in degrees: 0 is right, 90 is down."""
    angle = np.radians(np.linspace(start, end, max(8, int(abs(end - start) / 9))))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(circle * radii + centre, dtype=np.float64)


class Near:
    """A hand that aims at a value and comes near it."""

    def __init__(self, random: Random, spread: float = 0.035) -> None:
        self.random, self.spread = random, spread

    def __call__(self, value: float, spread: float | None = None) -> float:
        return float(value + self.random.normal(0, self.spread if spread is None else spread))


def zero(random: Random) -> Strokes:
    """A ring of any width, closed or nearly."""
    rx = float(random.uniform(0.16, 0.36))
    start = float(random.uniform(-150, -40))
    turn = 360 + float(random.uniform(-12, 30))
    return [_arc((0.3, 0.5), (rx, 0.5), start, start - turn)]


def one(random: Random) -> Strokes:
    """Plain, with a flag, or with flag and foot."""
    kind = random.choice(["plain", "flag", "foot"], p=[0.35, 0.4, 0.25])
    a = Near(random, 0.03)
    top = a(0.3)
    stem = _line((top, 0.0), (a(0.3), 1.0))
    if kind == "plain":
        return [stem]
    reach, drop = float(random.uniform(0.08, 0.3)), float(random.uniform(0.1, 0.36))
    flagged = np.concatenate([_line((top - reach, drop), (top, 0.0)), stem])
    if kind == "flag":
        return [flagged]
    half = float(random.uniform(0.12, 0.26))
    return [flagged, _line((0.3 - half, 1.0), (0.3 + half, a(1.0, 0.02)))]


def two(random: Random) -> Strokes:
    """With a straight base or a loop."""
    a = Near(random)
    top = [
        (a(0.04), a(0.22)),
        (a(0.14), a(0.06)),
        (0.32, 0.0),
        (a(0.54), a(0.1)),
        (a(0.55), a(0.28)),
    ]
    if random.random() < 0.3:  # a loop at the lower left, then a wave to the right
        loop = [
            (a(0.34), a(0.62)),
            (a(0.14), a(0.93)),
            (a(0.02), a(0.95, 0.02)),
            (a(0.04), a(0.8)),
            (a(0.18), a(0.82)),
            (a(0.38), a(0.97, 0.02)),
            (a(0.62), a(0.92)),
        ]
        return [_curve(*top, *loop)]
    fall = [(a(0.38), a(0.58)), (a(0.16), a(0.82)), (a(0.0), 1.0)]
    base = _line((fall[-1][0], 1.0), (a(0.6), a(0.99, 0.03)))
    return [np.concatenate([_curve(*top, *fall), base])]


def three(random: Random) -> Strokes:
    """With a round or a flat top."""
    a = Near(random)
    waist = float(random.uniform(0.16, 0.34))
    middle = a(0.47, 0.04)
    lower = [
        (waist, middle),
        (a(0.45), middle + 0.06),
        (a(0.57), a(0.72)),
        (a(0.42), a(0.94)),
        (a(0.22), 1.0),
        (a(0.02), a(0.86)),
    ]
    if random.random() < 0.18:  # flat top
        bar = _line((a(0.06), a(0.02, 0.02)), (a(0.52), a(0.02, 0.02)), (waist, middle))
        return [np.concatenate([bar, _curve(*lower)])]
    upper = [
        (a(0.04), a(0.13)),
        (a(0.18), a(0.02, 0.02)),
        (a(0.36), a(0.02, 0.02)),
        (a(0.5), a(0.2)),
        (a(0.4), middle - 0.08),
    ]
    return [_curve(*upper, *lower)]


def four(random: Random) -> Strokes:
    """Closed, open, or with a round elbow."""
    a = Near(random)
    bar = a(0.62, 0.06)
    stem_x = a(0.46, 0.04)
    if random.random() < 0.35:  # closed: one slanted side, bar, stem from the top
        arm = _line((stem_x, 0.0), (a(0.0), bar), (a(0.64), bar + a(0.0, 0.02)))
        return [arm, _line((stem_x, 0.0), (a(stem_x, 0.02), 1.0))]
    start = (a(0.16, 0.06), a(0.02, 0.04))
    elbow = (a(0.04, 0.04), bar)
    if random.random() < 0.3:  # rounded elbow, like a u
        arm = _curve(
            start,
            (a(0.06), a(0.3)),
            (a(0.12), bar - 0.03),
            (a(0.3), bar + 0.02),
            (a(0.6), a(bar - 0.03)),
        )
    else:
        arm = _line(start, elbow, (a(0.64, 0.05), bar + a(0.0, 0.03)))
    top = a(0.2, 0.14)
    return [arm, _line((stem_x + a(0.03, 0.03), max(0.0, top)), (stem_x - abs(a(0.0, 0.06)), 1.0))]


def five(random: Random) -> Strokes:
    """In one go or with the bar added last."""
    a = Near(random)
    left = a(0.12, 0.05)
    shoulder = a(0.42, 0.05)
    bowl = [
        (left, shoulder),
        (a(0.3), shoulder - 0.05),
        (a(0.52), a(0.5)),
        (a(0.56), a(0.72)),
        (a(0.4), a(0.95)),
        (a(0.2), 1.0),
        (a(0.0), a(0.9)),
    ]
    bar_end = (a(0.56, 0.06), a(0.01, 0.04))
    if random.random() < 0.5:  # in one go, from the right end of the bar
        if random.random() < 0.3:  # round, like an s
            return [
                _curve(bar_end, (left + 0.08, a(0.02, 0.02)), (left - 0.03, a(0.24)), *bowl[1:])
            ]
        return [
            np.concatenate([_line(bar_end, (left + 0.03, 0.02), (left, shoulder)), _curve(*bowl)])
        ]
    stem = _line((left + 0.03, a(0.03, 0.03)), (left, shoulder))
    return [np.concatenate([stem, _curve(*bowl)]), _line((left + a(0.03), a(0.03, 0.03)), bar_end)]


def six(random: Random) -> Strokes:
    """A bow into a loop."""
    a = Near(random)
    top = (a(0.42, 0.1), 0.0)
    loop_top = a(0.52, 0.06)
    ry = (1 - loop_top) / 2
    loop = _arc(
        (a(0.29, 0.02), 1 - ry), (a(0.26, 0.04), ry), 180, -170 - float(random.uniform(0, 30))
    )
    stem = _curve(
        top, (a(0.16), a(0.3)), (float(loop[0, 0]), a(0.6)), (float(loop[0, 0]), float(loop[0, 1]))
    )
    return [np.concatenate([stem, loop])]


def seven(random: Random) -> Strokes:
    """Straight or bowed, with or without a serif and a bar across."""
    a = Near(random)
    corner = (a(0.56, 0.04), a(0.03, 0.03))
    start = (a(0.0), a(0.04, 0.04))
    foot = (a(0.2, 0.08), 1.0)
    if random.random() < 0.5:
        fall = _line(corner, foot)
    else:
        fall = _curve(corner, (a(0.38), a(0.42)), (foot[0] + 0.02, a(0.72)), foot)
    bar = (
        _line(start, corner) if random.random() < 0.6 else _curve(start, (a(0.2), a(0.08)), corner)
    )
    strokes = [np.concatenate([bar, fall])]
    if random.random() < 0.25:  # a serif at the left end
        strokes[0] = np.concatenate([_line((start[0], start[1] + a(0.16)), start), strokes[0]])
    if random.random() < 0.45:
        y = a(0.5, 0.05)
        x = corner[0] + (foot[0] - corner[0]) * y
        reach = float(random.uniform(0.12, 0.26))
        strokes.append(_line((x - reach, a(y, 0.03)), (x + reach, a(y, 0.03))))
    return strokes


def eight(random: Random) -> Strokes:
    """Two rings, or one s that comes back."""
    a = Near(random, 0.03)
    waist = a(0.47, 0.04)
    if random.random() < 0.3:  # two rings
        rx = float(random.uniform(0.16, 0.26))
        upper = _arc((0.3, waist / 2), (rx, waist / 2), -90, 280)
        lower = _arc((a(0.3), (1 + waist) / 2), (rx + a(0.03), (1 - waist) / 2), -90, 280)
        return [upper, lower]
    wide, low = float(random.uniform(0.16, 0.27)), float(random.uniform(0.18, 0.32))
    start = (0.3 + wide * 0.9, a(0.14))
    path = [
        start,
        (a(0.34), 0.0),
        (0.3 - wide, a(0.2)),
        (a(0.3), waist),
        (0.3 + low, a(0.76)),
        (a(0.28), 1.0),
        (0.3 - low, a(0.78)),
        (a(0.3), waist + 0.02),
        (0.3 + wide, a(0.2)),
        (a(0.34), a(0.02, 0.02)),
    ]
    if random.random() < 0.3:
        path.pop()
    return [_curve(*path)]


def nine(random: Random) -> Strokes:
    """A loop with a straight, bowed or hooked tail."""
    a = Near(random)
    ry = float(random.uniform(0.2, 0.29))
    rx = float(random.uniform(0.18, 0.28))
    start, end = float(random.uniform(-45, -10)), -360 - float(random.uniform(-10, 10))
    loop = _arc((0.29, ry), (rx, ry), start, end)
    right = (float(loop[-1, 0]), float(loop[-1, 1]))
    kind = random.choice(["straight", "hook", "curve"], p=[0.45, 0.35, 0.2])
    if kind == "straight":
        tail = _line(right, (right[0] - a(0.05, 0.07), 1.0))
    elif kind == "hook":
        tail = _curve(
            right,
            (right[0] + a(0.0, 0.02), a(0.68)),
            (a(0.42), a(0.93)),
            (a(0.22), 1.0),
            (a(0.04), a(0.9)),
        )
    else:
        tail = _curve(right, (right[0] - 0.02, a(0.62)), (a(0.36), a(0.85)), (a(0.16, 0.06), 1.0))
    return [np.concatenate([loop, tail])]


DIGITS: tuple[Callable[[Random], Strokes], ...] = (
    zero, one, two, three, four, five, six, seven, eight, nine,
)  # fmt: skip
