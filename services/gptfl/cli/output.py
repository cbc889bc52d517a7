"""How commands write: aligned columns that a pipe can take, and a console for colour."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str = "") -> None:
    """A line of a command's result."""
    click.echo(text)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under headers."""
    return columns([headers, *rows])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, the last one ragged."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def console(*, err: bool = False) -> "Console":
    """A rich console on standard output or error; wide where nobody looks at lines."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(stderr=err, width=None if stream.isatty() else 120, highlight=False)


def local(uri: str) -> str:
    """A path as the reader would type it: relative where it lies below the working folder.

    What lies elsewhere, as `s3://…` says, keeps its address.
    """
    if "://" in uri and not uri.startswith("file://"):
        return uri
    path = Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
