import doctest

import pytest

from gptfl.report import scales
from gptfl.report.scales import Scale, decimals, nice_step, spread, thin, ticks, whole_ticks


def test_a_scale_is_linear_in_both_directions() -> None:
    assert [Scale(0, 30, 100)(x) for x in (0, 15, 30)] == [0, 50, 100]
    assert [Scale(1.0, 0.0, 340)(y) for y in (1.0, 0.25, 0.0)] == [0, 255, 340]


def test_a_scale_over_one_value_puts_it_in_the_middle() -> None:
    assert Scale(5, 5, 100)(5) == 50


@pytest.mark.parametrize(
    ("span", "count", "step"), [(1, 5, 0.2), (30, 6, 5), (0.03, 5, 0.01), (7, 5, 2), (100, 6, 20)]
)
def test_steps_are_one_two_or_five_times_a_power_of_ten(
    span: float, count: int, step: float
) -> None:
    assert nice_step(span, count) == pytest.approx(step)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.12, 0.97, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.822, 0.964, (0.8, 0.85, 0.9, 0.95, 1.0)),
        (0, 1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (1.1, 1.6, (1.1, 1.2, 1.3, 1.4, 1.5, 1.6)),
        (-3, 4, (-4.0, -2.0, 0.0, 2.0, 4.0)),
    ],
)
def test_ticks_are_round_and_enclose_the_data(
    low: float, high: float, expected: tuple[float, ...]
) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 250.0])
def test_ticks_around_a_single_value_still_span_something(value: float) -> None:
    made = ticks(value, value)
    assert made[0] <= value < made[-1]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 30, (0, 5, 10, 15, 20, 25, 30)),
        (1, 30, (1, 5, 10, 15, 20, 25, 30)),
        (0, 3, (0, 1, 2, 3)),
        (0, 101, (0, 20, 40, 60, 80, 101)),
        (0, 0, (0,)),
        (7, 7, (7,)),
    ],
)
def test_whole_ticks_hold_both_ends_and_no_crowd(
    low: int, high: int, expected: tuple[int, ...]
) -> None:
    assert whole_ticks(low, high) == expected


def test_decimals_are_what_the_finest_tick_needs() -> None:
    assert decimals((0.0, 0.2, 1.0)) == 1
    assert decimals((0.8, 0.85)) == 2
    assert decimals((0, 20)) == 0


def test_thinning_keeps_the_first_and_the_last_and_even_steps() -> None:
    assert thin(range(101), 5) == (0, 25, 50, 75, 100)
    assert thin("abc", 5) == ("a", "b", "c")
    assert thin("abc", 1) == ("a",)
    assert thin([], 3) == ()


def test_places_that_are_far_apart_stay() -> None:
    assert spread([10, 50, 90], 16, 0, 100) == (10, 50, 90)


def test_places_that_are_too_near_are_moved_apart_in_their_order() -> None:
    moved = spread([50, 52, 51], 16, 0, 300)
    assert moved == (50, 82, 66)


def test_places_stay_within_their_limits() -> None:
    assert spread([99, 100], 16, 0, 100) == (84, 100)
    assert spread([0, 0, 0], 60, 0, 100) == (0, 60, 120)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(scales).failed == 0
