"""Charts as SVG text, because a report must open anywhere and be sharp on a phone and on paper.

Places along x are percentages and text is in pixels, so a chart fills its column at any width
without its letters growing or shrinking. Colours are CSS classes, so that one drawing serves
light, dark and print. Every mark carries its numbers in a `<title>`.

Here is what all kinds share, and heat maps; `lines.py` and `bars.py` have the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

MOST_SLANTED = 24
"""Columns whose names have room to stand aslant; with more they stand upright."""
LONGEST_NAME = 18
"""Letters of a name that a margin has room for."""
SMALL = 14
"""Rows lower than this many pixels have small names."""
LETTER = 6.6
"""Pixels of a letter in a name, rather too many than too few."""


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map."""

    shade: float
    """From 0, as light as the ground, to 1, the darkest."""
    text: str
    tip: str


def heat_map(
    cells: Sequence[Sequence[Cell | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    row_height: int,
) -> Markup:
    """A grid of shaded cells, None where it is empty, with names at the left and on top."""
    width = 100 / max(len(columns), 1)
    parts = [
        Markup('<rect class="ground" width="100%" height="100%"/>'),
        *(_column_name(name, (i + 0.5) * width, columns) for i, name in enumerate(columns)),
        *(row_name(name, (i + 0.5) * row_height, row_height) for i, name in enumerate(rows)),
        *(
            _cell(cell, column * width, row * row_height, width, row_height)
            for row, line in enumerate(cells)
            for column, cell in enumerate(line)
            if cell is not None
        ),
    ]
    return svg("heat", len(rows) * row_height, label, parts)


def heat_map_box(rows: Sequence[str], columns: Sequence[str], cell: int) -> str:
    """CSS that gives a heat map room for its names and cells of at least `cell` pixels."""
    left = name_width(rows) + 14
    top, right = name_width(columns) + 14, 8.0
    if _upright(columns):
        top = 26
    elif len(columns) <= MOST_SLANTED:
        top = right = top * 0.75
    else:
        top *= 0.75  # their names are small
    least = left + right + cell * len(columns)
    return (
        f"padding: {top:.0f}px {right:.0f}px 4px {left:.0f}px; "
        f"min-width: {least:.0f}px; --heat-width: {left + right + 64 * len(columns):.0f}px"
    )


def svg(kind: str, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """The drawing's outermost element, as wide as its column."""
    return Markup(
        '<svg class="{}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(kind, f"{height:g}", label, Markup("\n").join(parts))


def row_name(name: str, middle: float, height: float) -> Markup:
    """A name at the left of a row that is `height` pixels high."""
    size = " small" if height < SMALL else ""
    return Markup('<text class="name{}" x="-8" y="{:g}" text-anchor="end">{}</text>').format(
        size, middle, short(name)
    )


def name_width(names: Sequence[str]) -> float:
    """Pixels that the longest of `names` needs once it is cut."""
    return max((len(short(name)) for name in names), default=0) * LETTER


def short(name: str) -> str:
    """A name cut to what a margin has room for."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _upright(columns: Sequence[str]) -> bool:
    """Whether all names are so short that they need not be turned."""
    return len(columns) <= MOST_SLANTED and all(len(name) <= 3 for name in columns)


def _column_name(name: str, place: float, columns: Sequence[str]) -> Markup:
    if _upright(columns):
        return Markup(
            '<text class="name" x="{:.3f}%" y="-11" text-anchor="middle">{}</text>'
        ).format(place, name)
    # A rotation turns about the origin, which a box of its own brings to the column.
    turn, size = (-45, "") if len(columns) <= MOST_SLANTED else (-90, " small")
    return Markup(
        '<svg x="{:.3f}%" y="-8" overflow="visible"><text class="name{}" '
        'transform="rotate({})">{}</text></svg>'
    ).format(place, size, turn, short(name))


def _ink(shade: float) -> str:
    """The class of what is written on a cell: in between, light and dark pages differ."""
    return "on" if shade > 0.81 else "between" if shade > 0.53 else "off"


def _cell(cell: Cell, left: float, top: float, width: float, height: float) -> Markup:
    text = Markup("")
    if cell.text:
        text = Markup(
            '<text class="{}" x="{:.3f}%" y="{:g}" text-anchor="middle">{}</text>'
        ).format(_ink(cell.shade), left + width / 2, top + height / 2, cell.text)
    return Markup(
        '<g class="cell" data-tip><title>{}</title><rect x="{:.3f}%" y="{:g}" width="{:.3f}%" '
        'height="{:g}" fill-opacity="{:.3f}"/>{}</g>'
    ).format(cell.tip, left, top, width, height, cell.shade, text)
