"""Gradient diversity (arXiv 1706.05699, Definition 1), in numbers that one can check by hand."""

import numpy as np
import pytest

from gptfl.federation.diversity import GradientDiversity

START = {"w": np.array([1.0, 1.0], np.float32), "mean": np.array([9.0], np.float32)}


def diversity(*points: tuple[float, float]) -> float | None:
    measured = GradientDiversity(START, {"w"})
    for x, y in points:
        measured.add({"w": np.array([1 + x, 1 + y], np.float32), "mean": np.array([x])})
    return measured.value


@pytest.mark.parametrize(
    ("updates", "value"),
    [
        ([(3, 4)], 1.0),
        ([(3, 4), (3, 4)], 1 / 2),
        ([(1, 2)] * 5, 1 / 5),
        ([(2, 0), (0, 5)], 1.0),
        ([(3, 0), (0, 4), (0, 0)], 1.0),
        ([(2, 0), (-1, 0)], 5.0),
        ([(1, 1), (1, 0)], 3 / 5),
    ],
)
def test_squares_of_the_parts_over_the_square_of_the_sum(
    updates: list[tuple[float, float]], value: float
) -> None:
    assert diversity(*updates) == pytest.approx(value)


def test_without_a_move_or_with_moves_that_cancel_there_is_none() -> None:
    assert diversity() is None
    assert diversity((0, 0), (0, 0)) is None
    assert diversity((1, -2), (-1, 2)) is None


def test_the_order_of_the_clients_does_not_matter() -> None:
    assert diversity((1, 2), (3, -1), (0, 4)) == diversity((0, 4), (1, 2), (3, -1))
