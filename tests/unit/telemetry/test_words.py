"""Numbers as people read them."""

from datetime import timedelta

import pytest

from gptfl.telemetry import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.004, "0.00 s"), (0.42, "0.42 s"), (41.23, "41.2 s"), (59.97, "1 min 0 s"),
     (192, "3 min 12 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min"), (350_000, "4 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03")]
)
def test_clocks(seconds: float, text: str) -> None:
    assert words.clock(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (312, "312 B"), (1400, "1.4 KB"), (512_000, "512 KB"), (3.2e9, "3.2 GB"),
     (5e15, "5000 TB")],
)  # fmt: skip
def test_sizes(count: float, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9534, "0.953"),
        (12.54, "12.5"),
        (2000.0, "2,000"),
        (float("nan"), "nan"),
        (-0.5, "-0.500"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, ""), (48.51, "48.5/s"), (1234.5, "1,234/s"), (0.05, "20.0 s each")]
)
def test_rates(value: float, text: str) -> None:
    assert words.rate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (1e6, "11 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert words.ago(timedelta(seconds=seconds)) == text
