"""Numbers as people read them: counts, durations, sizes, rates."""

import math
from datetime import datetime, timedelta

_UNITS = ("B", "KB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """A time that was taken: ``0.42 s``, ``41.2 s``, ``3 min 12 s``, ``2 h 5 min``, ``4 d 1 h``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def clock(seconds: float) -> str:
    """A time that runs: ``0:07``, ``12:34``, ``1:02:03``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Bytes: ``312 B``, ``1.4 MB``."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes all")


def rate(per_second: float) -> str:
    """How fast: ``48.5/s``, or ``12 s each`` when slower than one a second."""
    if per_second <= 0:
        return ""
    if per_second >= 1:
        return f"{per_second:,.1f}/s" if per_second < 100 else f"{per_second:,.0f}/s"
    return f"{duration(1 / per_second)} each"


def number(value: float) -> str:
    """A metric with the digits that matter: ``0.953``, ``12.5``, ``1,234``."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def moment(at: datetime) -> str:
    """A point in time, in the reader's zone: ``2026-11-24 06:20``."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def ago(span: timedelta) -> str:
    """How long since, in one unit: ``12 s``, ``5 min``, ``3 h``, ``9 d``."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
