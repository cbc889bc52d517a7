"""The last lines of a run: how good the model is against each control, and where everything is."""

from collections.abc import Iterator

from rich.text import Text

from gptfl.cli.output import local
from gptfl.store import RunStatus
from gptfl.telemetry import words

BAR = 28
TITLES = {
    "": "GPT-FL",
    "from-scratch": "from scratch",
    "synthetic-only": "synthetic only",
    "centralised": "centralised",
    "public-checkpoint": "public checkpoint",
}
NOTES = {
    "from-scratch": "the same federation without synthetic data",
    "synthetic-only": "without the clients",
    "centralised": "without privacy: all data in one place",
    "public-checkpoint": "the same federation from public weights",
}


def summary(status: RunStatus, *, store_option: str = "", width: int = 80) -> Iterator[Text]:
    """Lines for a run that has ended well; `store_option` is what follows `gptfl serve NAME`."""
    scores = accuracies(status.metrics)
    if scores:
        yield from _scores(scores, width)
        yield Text()
    is_elsewhere = "://" in (status.report or "")
    for title, value in (
        ("report", local(status.report) if status.report else ""),
        ("open it", f"gptfl report --open {status.name}{store_option}" if is_elsewhere else ""),
        ("model", local(status.model) if status.model else ""),
        ("digest", status.model_digest or ""),
        ("serve it", f"gptfl serve {status.name}{store_option}" if status.model else ""),
    ):
        if value:
            style = "bold" if title in ("serve it", "open it") else ""
            yield Text.assemble((f" {title:<9}", "dim"), (value, style))


def accuracies(metrics: dict[str, float]) -> dict[str, float]:
    """The accuracy of the model, under "", and of each control by its name."""
    found = {
        name.partition("/")[2]: value
        for name, value in metrics.items()
        if name.partition("/")[0] == "accuracy"
    }
    return {"": found[""], **found} if "" in found else found


def _scores(scores: dict[str, float], width: int) -> Iterator[Text]:
    """Higher is better; the difference is what GPT-FL gains over the control."""
    own = scores.get("")
    names = {name: TITLES.get(name, name) for name in scores}
    longest = max(map(len, names.values()))
    yield Text(f" {'accuracy':<{longest}}          gain", "dim")
    for name, value in scores.items():
        line = Text.assemble(
            (f" {names[name]:<{longest}}  ", "bold" if not name else ""),
            (f"{value:.3f}  ", "bold green" if not name else ""),
        )
        gain = own - value if own is not None and name else None
        line.append(_signed(gain), "green" if gain and gain > 0 else "yellow")
        line.append("  ")
        line.append_text(_bar(value, "green" if not name else "cyan"))
        note = NOTES.get(name, "")
        if note and len(line) + len(note) + 2 <= width:
            line.append(f"  {note}", "dim")
        yield line


def _signed(gain: float | None) -> str:
    if gain is None:
        return " " * 6
    sign = "+" if gain >= 0 else "−"
    return f"{sign}{abs(gain):.3f}"


def _bar(share: float, style: str) -> Text:
    full = round(share * BAR)
    return Text.assemble(("━" * full, style), ("─" * (BAR - full), "dim"))


def took(status: RunStatus) -> str:
    """How long a run has taken, or is taking, in words."""
    if status.finished is None:
        return ""
    return words.duration((status.finished - status.started).total_seconds())
