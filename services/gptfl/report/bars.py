"""Charts with a row a name: stacked bars of counts, and dots of shares."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gptfl.report.charts import row_name, svg
from gptfl.report.formats import count, percent
from gptfl.report.scales import Scale


@dataclass(frozen=True)
class Segment:
    """A part of a bar."""

    name: str
    style: str
    value: float


@dataclass(frozen=True)
class Bar:
    """Parts that follow each other in a row."""

    name: str
    segments: tuple[Segment, ...]
    note: str = ""
    """What stands at its end."""

    @property
    def total(self) -> float:
        return sum(segment.value for segment in self.segments)


@dataclass(frozen=True)
class Dots:
    """Shares in 0..1 in a row; the later are painted over the earlier."""

    name: str
    dots: tuple[Segment, ...]


def bar_chart(bars: Sequence[Bar], *, label: str, row_height: int = 26) -> Markup:
    """Horizontal stacked bars, all on the scale of the longest."""
    scale = Scale(0, max((bar.total for bar in bars), default=0.0) or 1.0, 100)
    parts = [_bar(bar, index * row_height, row_height, scale) for index, bar in enumerate(bars)]
    return svg("bars", len(bars) * row_height, label, parts)


def dot_chart(rows: Sequence[Dots], *, label: str, row_height: int = 24) -> Markup:
    """Dots on a scale from 0 to 100 %, those of a row joined by a line."""
    height = len(rows) * row_height
    parts = [
        Markup(
            '<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>'
            '<text class="tick" x="{0}%" y="{2}" text-anchor="middle">{3}</text>'
        ).format(tick, height, height + 18, percent(tick / 100, 0))
        for tick in (0, 25, 50, 75, 100)
    ]
    parts += [_dots(row, (index + 0.5) * row_height, row_height) for index, row in enumerate(rows)]
    return svg("dots", height, label, parts)


def _bar(bar: Bar, top: float, height: float, scale: Scale) -> Markup:
    pieces, left = [row_name(bar.name, top + height / 2, height)], 0.0
    for segment in bar.segments:
        width = scale(segment.value)
        if width > 0:
            pieces.append(
                Markup(
                    '<g data-tip><title>{}</title><rect class="fill {}" x="{:.3f}%" y="{:g}" '
                    'width="{:.3f}%" height="{:g}"/></g>'
                ).format(
                    f"{bar.name or segment.name}\n{segment.name}\t{count(segment.value)}",
                    segment.style, left, top + 5, width, height - 10,
                )
            )  # fmt: skip
        left += width
    pieces.append(
        Markup('<text class="note" x="{:.3f}%" dx="8" y="{:g}">{}</text>').format(
            left, top + height / 2, bar.note
        )
    )
    return Markup("").join(pieces)


def _dots(row: Dots, middle: float, height: float) -> Markup:
    values = [dot.value for dot in row.dots]
    tip = "\n".join([row.name, *(f"{dot.name}\t{percent(dot.value)}" for dot in row.dots)])
    circles = Markup("").join(
        Markup('<circle class="dot {}" cx="{:.2f}%" cy="{:g}" r="5"/>').format(
            dot.style, dot.value * 100, middle
        )
        for dot in row.dots
    )
    link = Markup('<line class="link" x1="{:.2f}%" x2="{:.2f}%" y1="{:g}" y2="{:g}"/>').format(
        min(values, default=0) * 100, max(values, default=0) * 100, middle, middle
    )
    return Markup("{}<g data-tip><title>{}</title>{}{}</g>").format(
        row_name(row.name, middle, height), tip, link, circles
    )
