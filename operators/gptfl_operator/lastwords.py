"""What a process said of its end: the line of its error, from what it left or from its log."""

import json
from typing import Any

LONGEST = 500
"""Of a message that ends up in a condition."""


def last_words(text: str | None) -> str | None:
    """The one line in what a container left; None when it left nothing to read.

    A stage leaves JSON with `error`, a log JSON lines with `message`, anything else plain text.
    """
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return None
    return _said("\n".join(lines)) or _said(lines[-1]) or shortened(lines[-1])


def shortened(text: str) -> str:
    """One line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _said(text: str) -> str | None:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    said = value.get("error") or value.get("message")
    return shortened(said) if isinstance(said, str) and said.strip() else None
