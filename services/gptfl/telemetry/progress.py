"""How far a run is, as one line a step: from events to styled text, with no terminal in sight."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from rich.text import Text

from gptfl.store.runs import RunStatus, StepState, StepStatus
from gptfl.telemetry import words
from gptfl.telemetry.events import Event, RunStarted, StepProgress
from gptfl.telemetry.status import apply

WIDE = 72
"""Cells beside a step's name from which there is room for a long bar."""
BARS = (8, 24)
"""Cells of a bar where it is narrow and where it is wide: fixed, so that nothing jumps."""
WIDEST_LINE = 130
GAP = "  "


@dataclass(frozen=True)
class Symbols:
    """The marks of a line; ASCII for terminals that have nothing else."""

    done: str = "✓"
    failed: str = "✗"
    waiting: str = "·"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    full: str = "━"
    empty: str = "─"
    ellipsis: str = "…"


UNICODE = Symbols()
ASCII = Symbols(
    done="+", failed="x", waiting=".", spinner="|/-\\", full="#", empty="-", ellipsis="..."
)


@dataclass(frozen=True)
class Pace:
    """What a step has done since it was first heard of; a resumed step begins above zero."""

    since: datetime
    base: int
    at: datetime
    done: int

    @property
    def per_second(self) -> float:
        """Items a second; 0 while that cannot be told."""
        seconds = (self.at - self.since).total_seconds()
        return (self.done - self.base) / seconds if seconds > 0 else 0.0

    def left(self, total: int, now: datetime) -> float | None:
        """Seconds until `total` is reached; None while that cannot be told."""
        if self.per_second <= 0:
            return None
        ahead = (total - self.done) / self.per_second
        return max(0.0, ahead - (now - self.at).total_seconds())


@dataclass(frozen=True)
class Progress:
    """A run as it is seen: its status, and how fast its steps are."""

    status: RunStatus
    paces: dict[str, Pace] = field(default_factory=dict)
    has_begun: bool = False
    """False while the run's data are still being looked at."""

    def after(self, event: Event) -> "Progress":
        """What is seen after an event."""
        paces = self.paces
        if isinstance(event, RunStarted):
            paces = {}
        if isinstance(event, StepProgress):
            paces = {**paces, event.step: self._pace(event)}
        return Progress(apply(self.status, event), paces, has_begun=True)

    def _pace(self, event: StepProgress) -> Pace:
        """The first report of a step says where it starts, after loading and resuming; going
        backwards is a new start."""
        pace = self.paces.get(event.step)
        if pace is None or event.done < pace.done:
            return Pace(event.at, event.done, event.at, event.done)
        return replace(pace, at=event.at, done=event.done)


def title(name: str) -> str:
    """How a step is called: controls stand indented below the federation that they vary."""
    stage, slash, control = name.partition("/")
    return f"  {control}" if slash else stage


def step_line(
    progress: Progress,
    step: StepStatus,
    *,
    now: datetime,
    width: int,
    indent: int,
    symbols: Symbols = UNICODE,
) -> Text:
    """One step on one line of at most `width` cells; `indent` cells are for its name."""
    mark, style = _mark(step, now, symbols)
    line = Text.assemble((f" {mark} ", style), (title(step.name).ljust(indent), _name_style(step)))
    line.append(GAP)
    line.append_text(_body(progress, step, now, width - len(line), symbols))
    line.truncate(width)
    return line


def _mark(step: StepStatus, now: datetime, symbols: Symbols) -> tuple[str, str]:
    if step.state is StepState.RUNNING:
        frame = int(now.timestamp() * 8) % len(symbols.spinner)
        return symbols.spinner[frame], "bold cyan"
    return {
        StepState.DONE: (symbols.done, "dim green" if step.cached else "bold green"),
        StepState.FAILED: (symbols.failed, "bold red"),
    }.get(step.state, (symbols.waiting, "dim"))


def _name_style(step: StepStatus) -> str:
    if step.state is StepState.RUNNING:
        return "bold"
    return "dim" if step.cached or step.state is StepState.PENDING else ""


def _body(
    progress: Progress, step: StepStatus, now: datetime, width: int, symbols: Symbols
) -> Text:
    if step.state is StepState.RUNNING:
        return _running(progress, step, now, width, symbols)
    if step.state is StepState.FAILED:
        return _cut(Text(step.message, "red"), width, symbols)
    if step.state is StepState.PENDING:
        return Text()
    if step.cached:
        return _cut(Text(f"cached: {step.reason}", "dim"), width, symbols)
    return _finished(step, width)


def _finished(step: StepStatus, width: int) -> Text:
    took = words.duration(step.seconds)
    parts = [Text(f"{step.total:,} {step.unit} in {took}" if step.total else took)]
    parts += [_metric(name, value) for name, value in best_metrics(step.metrics)]
    if step.reason and step.reason != "not done before":
        parts.append(Text(step.reason, "dim italic"))
    return _fit(parts, width)


def _running(
    progress: Progress, step: StepStatus, now: datetime, width: int, symbols: Symbols
) -> Text:
    """A bar, then as many numbers as there is room for, the most wanted first."""
    if step.total <= 0:
        since = (now - step.started).total_seconds() if step.started else 0.0
        parts = [Text(words.clock(since), "cyan")]
        if step.reason and step.reason != "not done before":
            parts.append(Text(step.reason, "dim italic"))
        return _fit(parts, width)
    pace = progress.paces.get(step.name)
    total = f"{step.total:,}"
    parts = [Text(f"{step.done:,}".rjust(len(total)) + f"/{total} {step.unit}")]
    left = pace.left(step.total, now) if pace else None
    if left is not None and step.done < step.total:
        parts.append(Text(f"{words.clock(left)} left", "cyan"))
    metrics = [_metric(name, value) for name, value in best_metrics(step.metrics)]
    parts += metrics[:1]
    if pace and pace.per_second > 0:
        parts.append(Text(words.rate(pace.per_second), "dim"))
    parts += metrics[1:]
    bar = _bar(step.done / step.total, BARS[width >= WIDE], symbols)
    return Text.assemble(bar, GAP, _fit(parts, width - len(bar) - len(GAP)))


SHOWN = ("accuracy", "loss", "gradient_diversity", "kept", "dropped")
"""Numbers that are worth a place on a line, the most wanted first."""


COUNTED = ("kept", "dropped")


def best_metrics(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Name and words of those numbers that are shown, in the order in which they are wanted."""
    return [
        (
            name.replace("_", " "),
            f"{metrics[name]:,.0f}" if name in COUNTED else words.number(metrics[name]),
        )
        for name in SHOWN
        if name in metrics
    ]


def _metric(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "green"))


def _fit(parts: list[Text], width: int) -> Text:
    """The first parts that fit side by side."""
    line = Text()
    for part in parts:
        gap = GAP if line else ""
        if line and len(line) + len(gap) + len(part) > width:
            break
        line.append(gap)
        line.append_text(part)
    return line


def _cut(text: Text, width: int, symbols: Symbols) -> Text:
    if len(text) > width:
        text.truncate(max(0, width - len(symbols.ellipsis)))
        text.append(symbols.ellipsis)
    return text


def _bar(share: float, width: int, symbols: Symbols) -> Text:
    full = round(max(0.0, min(1.0, share)) * width)
    return Text.assemble((symbols.full * full, "cyan"), (symbols.empty * (width - full), "dim"))
