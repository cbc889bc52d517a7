"""Filters throw away what teaches nothing, in a fixed order, and refills make up for it."""

import numpy as np
import pytest
from PIL import Image

from gptfl.errors import StageError
from gptfl.generation.filters import Sieve, Verdict, looks_of
from gptfl.generation.items import Item
from gptfl.generation.ledger import Ledger
from gptfl.generation.samples import Sample, encode_png
from gptfl.spec.generation import FiltersSpec

KEPT, BLANK = Verdict.KEPT, Verdict.BLANK
DUPLICATE, DISAGREEMENT = Verdict.DUPLICATE, Verdict.DISAGREEMENT


def sample(pixels: np.ndarray, label: int = 0, n: int = 0) -> Sample:
    return Sample(Item(label, n, "cat", n, 1.0), encode_png(Image.fromarray(pixels)))


def noise(seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (16, 16), dtype=np.uint8)


def judge(spec: dict, *samples: Sample, scores: list[float] | None = None) -> list[Verdict]:
    sieve = Sieve(FiltersSpec.model_validate({"blank": None, "duplicates": None} | spec))
    given = None if scores is None else np.array(scores)
    return sieve.judge([looks_of(one) for one in samples], given)


def test_contrast_is_the_spread_of_grey_values() -> None:
    half = np.zeros((16, 16), dtype=np.uint8)
    half[:8] = 255
    assert looks_of(sample(half)).contrast == pytest.approx(0.5)
    assert looks_of(sample(np.full((16, 16), 90, dtype=np.uint8))).contrast == 0


def test_an_image_with_nothing_on_it_is_blank() -> None:
    faint = noise(1, 100, 110)
    assert judge({"blank": {"minimumContrast": 0.05}}, sample(noise(0)), sample(faint)) == [
        KEPT,
        BLANK,
    ]


def test_the_first_of_two_equal_images_stays_and_another_label_may_have_it_too() -> None:
    verdicts = judge(
        {"duplicates": {}},
        sample(noise(0)),
        sample(noise(1)),
        sample(noise(0), n=2),
        sample(noise(0), label=1),
    )
    assert verdicts == [KEPT, KEPT, DUPLICATE, KEPT]


def test_images_that_look_alike_are_duplicates_within_the_distance() -> None:
    smooth = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
    close = smooth.copy()
    close[:3, :3] = 255
    distance = (looks_of(sample(smooth)).hash ^ looks_of(sample(close)).hash).bit_count()
    assert 0 < distance <= 32
    for maximum, verdict in ((distance - 1, KEPT), (distance, DUPLICATE)):
        spec = {"duplicates": {"maximumDistance": maximum}}
        assert judge(spec, sample(smooth), sample(close))[1] is verdict


def test_many_images_are_compared_with_all_before_them() -> None:
    different = [sample(noise(seed), n=seed) for seed in range(1100)]
    verdicts = judge(
        {"duplicates": {"maximumDistance": 1}}, *different, different[0], different[-1]
    )
    assert verdicts.count(DUPLICATE) == 2
    assert verdicts[-2:] == [DUPLICATE, DUPLICATE]


def test_a_low_score_is_a_disagreement() -> None:
    spec = {"agreement": {"minimumScore": 0.3}}
    verdicts = judge(spec, sample(noise(0)), sample(noise(1)), scores=[0.3, 0.29])
    assert verdicts == [KEPT, DISAGREEMENT]


def test_the_first_filter_that_drops_an_image_counts() -> None:
    spec = {"blank": {}, "duplicates": {}, "agreement": {}}
    black = np.zeros((16, 16), dtype=np.uint8)
    verdicts = judge(
        spec, sample(black), sample(noise(0)), sample(noise(0)), scores=[0.0, 0.0, 0.0]
    )
    assert verdicts == [BLANK, DISAGREEMENT, DUPLICATE]


def test_judging_in_parts_is_judging_at_once() -> None:
    looks = [looks_of(sample(noise(seed % 5), n=seed)) for seed in range(12)]
    spec = FiltersSpec()
    at_once = Sieve(spec).judge(looks, None)
    in_parts = Sieve(spec)
    assert in_parts.judge(looks[:7], None) + in_parts.judge(looks[7:], None) == at_once


def ledger(per_label: int = 4, maximum_draws: float = 3) -> Ledger:
    return Ledger(["cat", "dog"], per_label, FiltersSpec(maximum_draws=maximum_draws))


def fill(book: Ledger, label: int, *verdicts: Verdict) -> list[bool]:
    return [book.add(label, verdict) for verdict in verdicts]


def test_the_first_pass_asks_for_as_many_as_are_wanted() -> None:
    assert ledger().wanted() == {0: range(4), 1: range(4)}


def test_a_refill_asks_for_what_is_missing_and_what_will_be_dropped() -> None:
    book = ledger()
    fill(book, 0, KEPT, KEPT, KEPT, KEPT)
    fill(book, 1, KEPT, KEPT, BLANK, DUPLICATE)
    assert book.wanted() == {1: range(4, 8)}


def test_a_refill_goes_no_further_than_the_draws_allowed() -> None:
    book = ledger(maximum_draws=1.5)
    fill(book, 0, *[KEPT] * 4)
    fill(book, 1, KEPT, BLANK, BLANK, BLANK)
    assert book.wanted() == {1: range(4, 6)}


def test_good_images_beyond_the_number_are_surplus() -> None:
    book = ledger(per_label=2)
    assert fill(book, 0, KEPT, BLANK, KEPT, KEPT) == [True, False, True, False]
    fill(book, 1, KEPT, KEPT)
    assert book.wanted() == {}


def test_a_label_that_stays_short_is_named_with_the_filter_to_blame() -> None:
    book = ledger(maximum_draws=1)
    fill(book, 0, *[KEPT] * 4)
    fill(book, 1, KEPT, DUPLICATE, DUPLICATE, BLANK)
    with pytest.raises(StageError) as caught:
        book.wanted()
    said = str(caught.value)
    assert "'dog' has 1 good images of the 4 wanted after 4 draws" in said
    assert "(dropped: 1 blank, 2 duplicate)" in said
    assert "use more prompts" in said
    assert "\n" not in said
