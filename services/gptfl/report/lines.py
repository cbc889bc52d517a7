"""Line charts: values by round, with what each line is at a round under the pointer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from gptfl.report.charts import svg
from gptfl.report.scales import Scale, decimals, spread, thin, ticks, whole_ticks

MOST_POINTS = 400
"""Points of one line that are drawn; more cannot be told apart."""
MOST_COLUMNS = 120
"""Places along x that answer to a pointer."""
LINE_OF_TEXT = 16
"""Pixels from one line of text to the next."""


@dataclass(frozen=True)
class Series:
    """A line; `style` is its CSS class."""

    name: str
    style: str
    points: tuple[tuple[int, float], ...]
    """(x, y) with x rising; at least one."""


@dataclass(frozen=True)
class Level:
    """A value without a course: a horizontal line."""

    name: str
    style: str
    value: float


@dataclass(frozen=True)
class LineChart:
    """Lines over whole numbers such as rounds; y goes out to round numbers around the data.

    The first series is painted over the others. `label` says in words what is to be seen.
    """

    series: tuple[Series, ...]
    levels: tuple[Level, ...]
    label: str
    x_name: str
    y_format: Callable[[float], str]
    tick_format: Callable[[float, int], str]
    """Takes a value and the digits after the point that all ticks need."""
    height: int = 300

    def svg(self) -> Markup:
        """The chart; what stands outside the plot needs 52 px at the left, 68 at the right."""
        parts = [
            *map(self._y_tick, self._y_ticks),
            *map(self._x_tick, whole_ticks(self._xs[0], self._xs[-1])),
            *map(self._level, self.levels),
            self._polylines(),
            *self._ends(),
            *self._columns(),
        ]
        return svg("plot", self.height, self.label, parts)

    @cached_property
    def _xs(self) -> list[int]:
        return sorted({x for line in self.series for x, _ in line.points})

    @cached_property
    def _y_ticks(self) -> tuple[float, ...]:
        values = [y for line in self.series for _, y in line.points]
        values += [level.value for level in self.levels]
        return ticks(min(values), max(values))

    @cached_property
    def _x(self) -> Scale:
        return Scale(self._xs[0], self._xs[-1], 100)

    @cached_property
    def _y(self) -> Scale:
        """Pixels go down where values go up."""
        return Scale(self._y_ticks[-1], self._y_ticks[0], self.height)

    def _y_tick(self, value: float) -> Markup:
        return Markup(
            '<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>'
            '<text class="tick" x="-10" y="{0:.1f}" text-anchor="end">{1}</text>'
        ).format(self._y(value), self.tick_format(value, decimals(self._y_ticks)))

    def _x_tick(self, value: int) -> Markup:
        return Markup(
            '<text class="tick" x="{:.2f}%" y="{}" text-anchor="middle">{}</text>'
        ).format(self._x(value), self.height + 20, value)

    def _level(self, level: Level) -> Markup:
        return Markup('<line class="line {0}" x1="0" x2="100%" y1="{1:.1f}" y2="{1:.1f}"/>').format(
            level.style, self._y(level.value)
        )

    def _polylines(self) -> Markup:
        """The lines, in a box that stretches while their strokes keep their width."""
        y = Scale(self._y.low, self._y.high, 1000)
        lines = [
            Markup('<polyline class="line {}" points="{}"/>').format(
                line.style,
                " ".join(
                    f"{self._x(a) * 10:.1f},{y(b):.1f}" for a, b in thin(line.points, MOST_POINTS)
                ),
            )
            for line in reversed(self.series)
        ]
        return Markup(
            '<svg width="100%" height="100%" viewBox="0 0 1000 1000" '
            'preserveAspectRatio="none" overflow="visible">{}</svg>'
        ).format(Markup("").join(lines))

    def _ends(self) -> Iterator[Markup]:
        """Where each line ends, in numbers, moved apart where they would overlap."""
        ends = [(line.style, line.points[-1][1]) for line in self.series]
        ends += [(level.style, level.value) for level in self.levels]
        places = spread([self._y(value) for _, value in ends], LINE_OF_TEXT, 0, self.height)
        for (style, value), place in zip(ends, places, strict=True):
            yield Markup('<text class="end {}" x="100%" dx="12" y="{:.1f}">{}</text>').format(
                style, place, self.y_format(value)
            )

    def _columns(self) -> Iterator[Markup]:
        """An invisible column at each x that shows, under a pointer, what all lines are there."""
        points = [(line, dict(line.points)) for line in self.series]
        shown = thin(self._xs, MOST_COLUMNS)
        half = 50 / max(len(shown) - 1, 1)
        for x in shown:
            here = [(line, values[x]) for line, values in points if x in values]
            left, right = max(self._x(x) - half, 0), min(self._x(x) + half, 100)
            yield Markup(
                '<g class="at" data-tip><title>{tip}</title><rect x="{left:.2f}%" y="0" '
                'width="{width:.2f}%" height="100%"/><line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" '
                'y2="100%"/>{dots}</g>'
            ).format(
                tip=self._tip(x, here),
                left=left,
                width=right - left,
                x=self._x(x),
                dots=Markup("").join(self._dot(line, x, value) for line, value in here),
            )

    def _dot(self, line: Series, x: int, value: float) -> Markup:
        return Markup('<circle class="dot {}" cx="{:.2f}%" cy="{:.1f}" r="4.5"/>').format(
            line.style, self._x(x), self._y(value)
        )

    def _tip(self, x: int, here: list[tuple[Series, float]]) -> str:
        rows = [f"{line.name}\t{self.y_format(value)}" for line, value in here]
        rows += [f"{level.name}\t{self.y_format(level.value)}" for level in self.levels]
        return "\n".join([f"{self.x_name} {x}", *rows])
