"""A run on a terminal: a line a step, what is left, and never wider than the window."""

import io
import re
from functools import reduce

import pytest
from rich.cells import cell_len
from rich.console import Console
from story import CACHED, ENDING, FAILURE, STORY, at, nothing_done

from gptfl.telemetry.events import Event, StepProgress, StepStarted
from gptfl.telemetry.progress import ASCII, Progress, step_line
from gptfl.telemetry.terminal import LiveScreen, PlainScreen, open_screen


def seen(*events: Event) -> Progress:
    return reduce(Progress.after, events, Progress(nothing_done()))


def line(progress: Progress, index: int, *, width: int = 120, seconds: float = 26) -> str:
    step = progress.status.steps[index]
    return step_line(progress, step, now=at(seconds), width=width, indent=14).plain.rstrip()


MIDWAY = seen(*STORY)


def test_a_running_step_shows_bar_items_what_is_left_and_numbers() -> None:
    assert line(MIDWAY, 2)[2:] == (
        " federation      ━━━━━━━━━━━━━━━━────────  2/3 rounds  0:02 left"
        "  accuracy 0.800  2.0 s each"
    )


def test_what_is_left_counts_down_between_reports() -> None:
    assert "0:02 left" in line(MIDWAY, 2, seconds=26)
    assert "0:01 left" in line(MIDWAY, 2, seconds=27)
    assert "0:00 left" in line(MIDWAY, 2, seconds=60)


def test_other_steps_say_why_or_how_it_went() -> None:
    assert line(MIDWAY, 0) == f" ✓ prompts         cached: {CACHED}"
    assert line(MIDWAY, 1) == (
        " ✓ generation      200 images in 21.0 s  kept 200  generation.steps: 10 → 20"
    )
    assert line(MIDWAY, 3) == " ·   from-scratch"
    assert line(seen(*STORY, FAILURE), 2) == " ✗ federation      spec.x: diverged; use less"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_window(width: int) -> None:
    for progress in (MIDWAY, seen(*STORY, FAILURE), seen(*STORY, *ENDING)):
        for index in range(5):
            assert cell_len(line(progress, index, width=width)) <= width


def test_the_bar_does_not_move_with_the_numbers() -> None:
    ends = set()
    for done in range(1, 200, 7):
        event = StepProgress("generation", done, 200, "images", at(1 + done / 10))
        text = line(seen(*STORY[:4], event), 1, width=80)
        ends.add(re.search(r"[━─]+", text).end())  # type: ignore[union-attr]

    assert len(ends) == 1


def test_a_resumed_step_is_as_fast_as_it_is_now() -> None:
    resumed = seen(
        *STORY[:3],
        StepProgress("generation", 150, 200, "images", at(10)),
        StepProgress("generation", 160, 200, "images", at(12)),
    )

    assert resumed.paces["generation"].per_second == 5.0
    assert resumed.paces["generation"].left(200, at(12)) == 8.0


def test_a_step_without_items_shows_its_time() -> None:
    begun = seen(*STORY[:1], StepStarted("evaluation", "k", "not done before", at(5)))

    assert line(begun, 4, seconds=12).endswith("evaluation      0:07")


def test_ascii_terminals_get_ascii() -> None:
    step = MIDWAY.status.steps[2]
    text = step_line(MIDWAY, step, now=at(26), width=80, indent=14, symbols=ASCII).plain

    assert text.isascii()


def console(width: int = 80, *, terminal: bool = True) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, color_system=None), out


def test_a_terminal_is_redrawn_and_keeps_its_last_state() -> None:
    shown, out = console()
    screen = open_screen(shown, nothing_done())
    with screen:
        for event in (*STORY, *ENDING):
            screen(event)

    assert isinstance(screen, LiveScreen)
    last = out.getvalue().rsplit("pets", 1)[-1]
    assert "3 of 5 steps" in last
    assert "✓ federation      3 rounds in 7.0 s  accuracy 0.900" in last


def test_a_log_gets_plain_lines() -> None:
    shown, out = console(terminal=False)
    screen = open_screen(shown, nothing_done())
    with screen:
        for event in (*STORY, FAILURE):
            screen(event)

    assert isinstance(screen, PlainScreen)
    assert out.getvalue().splitlines() == [
        "pets: 5 steps",
        f"prompts: cached, {CACHED}",
        "generation: begins (generation.steps: 10 → 20)",
        "generation: 25% (50 of 200 images, 0:15 left)",
        "generation: done in 21.0 s, kept 200",
        "federation: begins (not done before)",
        "federation: 33% (1 of 3 rounds, 0:04 left), accuracy 0.700, loss 0.500",
        "federation: 67% (2 of 3 rounds, 0:02 left), accuracy 0.800",
        "federation: failed",
    ]


def test_a_log_of_a_long_step_has_about_ten_lines() -> None:
    out = io.StringIO()
    screen = PlainScreen(out, nothing_done())
    screen(STORY[0])
    for done in range(1, 1001):
        screen(StepProgress("generation", done, 1000, "images", at(done)))

    assert 8 <= len(out.getvalue().splitlines()) <= 11
