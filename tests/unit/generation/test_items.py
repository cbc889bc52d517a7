"""What is drawn is settled before anything is drawn, and every item falls into one shard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptfl.generation.items import GUIDANCE_LEVELS, Catalogue, Item, batches
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.spec.generation import Range

LABELS = ["cat", "dog", "owl"]


def catalogue(seed: int = 1, *, even: bool = True, prompts: int = 3) -> Catalogue:
    texts = [
        LabelPrompts(label=label, prompts=[f"{label} {i}" for i in range(prompts)])
        for label in LABELS
    ]
    guidance = Range(minimum=1, maximum=5)
    return Catalogue(seed, LABELS, PromptSet(prompts=texts), guidance, even=even)


def test_prompts_are_used_in_turn() -> None:
    items = [catalogue().item(1, n) for n in range(5)]
    assert [item.prompt for item in items] == ["dog 0", "dog 1", "dog 2", "dog 0", "dog 1"]


def test_an_item_depends_on_its_label_and_number_alone() -> None:
    one = catalogue().item(2, 7)
    assert one == catalogue().item(2, 7)
    others = {
        catalogue().item(1, 7).seed,
        catalogue().item(2, 8).seed,
        catalogue(2).item(2, 7).seed,
    }
    assert one.seed not in others
    reordered = Catalogue(
        1, ["owl"], PromptSet(prompts=[catalogue().prompts.prompts[2]]), Range(), even=True
    )
    assert reordered.item(0, 7).seed == one.seed


def test_guidance_is_even_over_the_range() -> None:
    drawn = [catalogue().item(0, n).guidance for n in range(400)]
    assert all(1 <= value <= 5 for value in drawn)
    quarters = [sum(low <= value < low + 1 for value in drawn) for low in (1, 2, 3, 4)]
    assert min(quarters) > 70


def test_a_pipeline_with_one_guidance_a_batch_gets_levels_with_both_ends() -> None:
    drawn = {catalogue(even=False).item(0, n).guidance for n in range(200)}
    assert sorted(drawn) == [1, 2, 3, 4, 5]
    assert len(drawn) == GUIDANCE_LEVELS


counts = st.dictionaries(st.integers(0, 2), st.tuples(st.integers(0, 9), st.integers(0, 40)))


@given(counts, st.integers(1, 50))
def test_shards_hold_every_item_once_and_none_is_too_large(
    wanted: dict[int, tuple[int, int]], size: int
) -> None:
    ranges = {label: range(start, start + count) for label, (start, count) in wanted.items()}
    shards = catalogue().shards(3, ranges, size)
    items = [(item.label, item.n) for shard in shards for item in shard.items]
    assert items == [(label, n) for label in sorted(ranges) for n in ranges[label]]
    assert all(0 < len(shard.items) <= size for shard in shards)
    names = [shard.name for shard in shards]
    assert names == sorted(set(names))


def items(guidances: list[float]) -> list[Item]:
    return [Item(0, n, "cat", n, guidance) for n, guidance in enumerate(guidances)]


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), max_size=60), st.integers(1, 20), st.booleans())
def test_batches_hold_every_item_once(guidances: list[float], size: int, one: bool) -> None:
    made = list(batches(items(guidances), size, one_guidance=one))
    assert sorted(position for batch in made for position in batch) == list(range(len(guidances)))
    assert all(0 < len(batch) <= size for batch in made)
    if one:
        assert all(len({guidances[position] for position in batch}) == 1 for batch in made)


def test_a_batch_does_not_depend_on_what_else_is_drawn() -> None:
    few, more = items([1, 2] * 4), items([1, 2] * 8)
    first = list(batches(few, 4, one_guidance=False))
    assert list(batches(more, 4, one_guidance=False))[: len(first)] == first


@pytest.mark.parametrize("size", [1, 4, 100])
def test_without_a_guidance_to_respect_batches_are_slices(size: int) -> None:
    made = [list(batch) for batch in batches(items([3.0, 1.0] * 5), size, one_guidance=False)]
    assert [position for batch in made for position in batch] == list(range(10))
