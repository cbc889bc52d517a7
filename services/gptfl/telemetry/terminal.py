"""Shows a run while it goes on: live lines on a terminal, plain ones in a log."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gptfl.store.runs import RunStatus, StepState
from gptfl.telemetry import words
from gptfl.telemetry.events import (
    Event,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)
from gptfl.telemetry.progress import (
    ASCII,
    UNICODE,
    WIDEST_LINE,
    Progress,
    best_metrics,
    step_line,
    title,
)

FRAMES_A_SECOND = 6
SECONDS_BETWEEN_PLAIN_LINES = 2.0


class Screen(Protocol):
    """A listener that shows events while its block lasts."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...


def open_screen(console: Console, status: RunStatus) -> Screen:
    """Live lines where the console can redraw them, plain ones elsewhere."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console, status)
    return PlainScreen(console.file, status)


class LiveScreen:
    """All steps, redrawn in place a few times a second."""

    def __init__(
        self,
        console: Console,
        status: RunStatus,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._console = console
        self._now = now
        self._progress = Progress(status)
        self._live = Live(
            console=console, get_renderable=self.draw, refresh_per_second=FRAMES_A_SECOND
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        self._progress = self._progress.after(event)

    def draw(self) -> RenderableType:
        """The screen of this moment."""
        progress, now = self._progress, self._now()
        width = min(self._console.width, WIDEST_LINE)
        symbols = ASCII if self._console.options.ascii_only else UNICODE
        steps = progress.status.steps
        indent = max((len(title(step.name)) for step in steps), default=0)
        lines = [_heading(progress, now)]
        lines += [
            step_line(progress, step, now=now, width=width, indent=indent, symbols=symbols)
            for step in steps
        ]
        return Text("\n", no_wrap=True).join(lines)


def _heading(progress: Progress, now: datetime) -> Text:
    status = progress.status
    spent = ((status.finished or now) - status.started).total_seconds()
    done = sum(step.state is StepState.DONE for step in status.steps)
    where = f"{done} of {len(status.steps)} steps" if progress.has_begun else "looking at the data"
    return Text.assemble((f" {status.name}", "bold"), (f"  {where}  {words.clock(spent)}", "dim"))


class PlainScreen:
    """A line when a step begins and ends, and for each tenth of a long one."""

    def __init__(self, out: IO[str], status: RunStatus) -> None:
        self._out = out
        self._progress = Progress(status)
        self._tenths: dict[str, int] = {}
        self._shown_at = datetime.min.replace(tzinfo=UTC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self._progress = self._progress.after(event)
        line = self._part(event) if isinstance(event, StepProgress) else _milestone(event)
        if line is not None:
            self._out.write(f"{line}\n")
            self._out.flush()

    def _part(self, event: StepProgress) -> str | None:
        """A line when another tenth is done and the last line is not fresh."""
        tenth = int(10 * event.done / event.total) if event.total > 0 else 0
        since = (event.at - self._shown_at).total_seconds()
        if tenth in (self._tenths.get(event.step, 0), 10) or since < SECONDS_BETWEEN_PLAIN_LINES:
            return None
        self._tenths[event.step] = tenth
        self._shown_at = event.at
        left = self._progress.paces[event.step].left(event.total, event.at)
        time = f", {words.clock(left)} left" if left is not None else ""
        done = f"{event.done:,} of {event.total:,} {event.unit}"
        return f"{event.step}: {event.done / event.total:.0%} ({done}{time}){_said(event.metrics)}"


def _milestone(event: Event) -> str | None:
    """The line for the begin or the end of something."""
    match event:
        case RunStarted():
            return f"{event.name}: {len(event.steps)} steps"
        case StepStarted():
            return f"{event.step}: begins ({event.reason})"
        case StepFinished(cached=True):
            return f"{event.step}: cached, {event.reason}"
        case StepFinished():
            return f"{event.step}: done in {words.duration(event.seconds)}{_said(event.metrics)}"
        case StepFailed():
            return f"{event.step}: failed"
    return None


def _said(metrics: dict[str, float]) -> str:
    best = [f", {name} {value}" for name, value in best_metrics(metrics)]
    return "".join(best)
