"""The plain table that stands beside a chart, for those who read numbers or cannot see colours."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    name: str
    style: str


@dataclass(frozen=True)
class Figure:
    """A chart with what explains it."""

    chart: Markup
    box: str = ""
    """CSS of the box around it: room for its names."""
    legend: tuple[Key, ...] = ()
    caption: str = ""
    axis: str = ""
    table: Table | None = None
    title: str = ""
