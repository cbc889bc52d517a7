"""How numbers are written in a report: once, so that they read alike everywhere."""

NBSP = "\u00a0"
THIN = "\u202f"


def percent(value: float, digits: int = 1) -> str:
    """A share in 0..1: ``96.4 %``."""
    return f"{value * 100:.{digits}f}{THIN}%"


def points(value: float) -> str:
    """A difference of shares in percentage points, without its sign: ``14.2``."""
    return f"{abs(value) * 100:.1f}"


def signed_points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: ``+14.2``."""
    sign = "±" if is_level(value) else "+" if value > 0 else "−"
    return f"{sign}{points(value)}"


def is_level(value: float) -> bool:
    """Whether a difference of shares is nothing at the one digit that is written."""
    return abs(value) * 100 < 0.05


def count(value: float) -> str:
    """A whole number with thousands set apart: ``2,000``."""
    return f"{value:,.0f}"


def counted(number: float, one: str, many: str | None = None) -> str:
    """``1 round``, ``2,000 images``."""
    return f"{count(number)}{NBSP}{one if number == 1 else many or f'{one}s'}"


def number(value: float, digits: int = 2) -> str:
    """A plain number: ``1.37``."""
    return f"{value:,.{digits}f}"


def short_number(value: float) -> str:
    """A number for an axis: ``1.5``, ``20``."""
    return f"{value:,.6g}"


def duration(seconds: float) -> str:
    """``0.3 s``, ``42 s``, ``3 min 20 s``, ``5 h 12 min``, ``2 d 3 h``."""
    if seconds < 0.05:
        return f"<{THIN}0.1{NBSP}s"
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    for name, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return _two(whole // size, name, whole % size // part, below)
    return _two(whole // 60, "min", whole % 60, "s") if whole >= 60 else f"{whole}{NBSP}s"


def _two(most: int, name: str, least: int, below: str) -> str:
    return f"{most}{NBSP}{name} {least}{NBSP}{below}" if least else f"{most}{NBSP}{name}"


def size(count_of_bytes: float) -> str:
    """Bytes in decimal units: ``812 B``, ``4.1 kB``, ``12.3 MB``."""
    value = float(count_of_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            digits = 0 if unit == "B" or value >= 99.5 else 1
            return f"{value:.{digits}f}{NBSP}{unit}"
        value /= 1000
    return f"{value:,.1f}{NBSP}TB"
