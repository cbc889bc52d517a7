"""Who takes part in a round is a function of seed and round, and as good as drawn from a hat."""

import random

import numpy as np

from gptfl.federation.selection import select


def test_the_same_arguments_select_the_same_clients_whatever_was_drawn_before() -> None:
    random.seed(1)
    before = [select(range(10), 3, 5, number) for number in range(1, 6)]
    random.seed(2)
    np.random.seed(3)
    assert [select(range(10), 3, 5, number) for number in (5, 4, 3, 2, 1)] == before[::-1]


def test_another_seed_or_round_selects_others() -> None:
    rounds = {select(range(100), 10, 0, number) for number in range(20)}
    seeds = {select(range(100), 10, seed, 1) for seed in range(20)}
    assert len(rounds) == len(seeds) == 20


def test_clients_come_once_and_in_ascending_order() -> None:
    for number in range(50):
        chosen = select([2, 3, 5, 7, 11], 3, 0, number)
        assert list(chosen) == sorted(set(chosen))
        assert len(chosen) == 3
        assert set(chosen) <= {2, 3, 5, 7, 11}


def test_all_take_part_when_there_are_not_more_than_asked_for() -> None:
    assert select(range(3), 3, 0, 1) == select(range(3), 9, 0, 1) == (0, 1, 2)


def test_each_client_and_each_pair_is_as_likely_as_another() -> None:
    rounds = 4000
    chosen = [select(range(5), 2, 0, number) for number in range(rounds)]
    pairs = {pair: chosen.count(pair) for pair in set(chosen)}
    assert len(pairs) == 10
    # Ten pairs: each expected 400 times, five standard deviations are 95.
    assert all(abs(count - rounds / 10) < 95 for count in pairs.values())
