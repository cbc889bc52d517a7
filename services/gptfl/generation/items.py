"""What is to be drawn, item by item, before anything is: pure, and the same for every worker.

An item is the n-th image of a label. Its prompt, seed and guidance follow from that alone; which
items share a batch follows from the order in which they are asked for, and never from who draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gptfl.prompts.results import PromptSet
from gptfl.seeds import derive_seed
from gptfl.spec.generation import Range
from gptfl.spec.sections import GenerationSection

GUIDANCE_LEVELS = 5
"""Values from the guidance range that are drawn where a pipeline takes one for the whole batch."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to draw."""

    label: int
    """Position in the task's labels."""
    n: int
    """Which image of that label, from 0."""
    prompt: str
    seed: int
    """Of the image's own noise, in [0, 2**63)."""
    guidance: float
    """Scale of classifier-free guidance."""


@dataclass(frozen=True)
class Shard:
    """Items drawn as one unit of work, and kept as one checkpoint."""

    round: int
    """0 is the first pass, then come the refills."""
    index: int
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The name of its checkpoint; in the order of names come rounds, then shards."""
        return f"raw-{self.round:04d}-{self.index:06d}.parquet"


@dataclass(frozen=True)
class Catalogue:
    """All items there could be."""

    seed: int
    """The run's."""
    labels: Sequence[str]
    prompts: PromptSet
    guidance: Range
    even: bool
    """Guidance is even in the range; else it is one of a few levels, for pipelines that take one
    guidance a batch."""

    def item(self, label: int, n: int) -> Item:
        """The n-th image of a label."""
        prompts = self.prompts.prompts[label].prompts
        seed = derive_seed(self.seed, "generation", self.labels[label], n)
        part = derive_seed(seed, "guidance") / 2**63
        if not self.even:
            part = min(int(part * GUIDANCE_LEVELS), GUIDANCE_LEVELS - 1) / (GUIDANCE_LEVELS - 1)
        low, high = self.guidance.minimum, self.guidance.maximum
        return Item(label, n, prompts[n % len(prompts)], seed, low + (high - low) * part)

    def shards(self, round_: int, wanted: Mapping[int, range], size: int) -> tuple[Shard, ...]:
        """The items of a round, label after label, in slices of `size`.

        `wanted` says which images of a label: the n that are asked for.
        """
        items = [self.item(label, n) for label in sorted(wanted) for n in wanted[label]]
        return tuple(
            Shard(round_, index, tuple(items[start : start + size]))
            for index, start in enumerate(range(0, len(items), size))
        )


def catalogue_of(section: GenerationSection, prompts: PromptSet, *, even: bool) -> Catalogue:
    """All images of a data set, in whatever process."""
    guidance = section.generation.guidance
    return Catalogue(section.seed, section.labels, prompts, guidance, even=even)


def batches(items: Sequence[Item], size: int, *, one_guidance: bool) -> Iterator[tuple[int, ...]]:
    """Positions in `items` of those drawn together, at most `size`.

    An image's low bits depend on how many are drawn with it, so a shard always falls into the same
    batches. With `one_guidance` a batch has a single guidance.
    """
    groups: dict[float, list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(item.guidance if one_guidance else 0.0, []).append(position)
    for _, positions in sorted(groups.items()):
        for start in range(0, len(positions), size):
            yield tuple(positions[start : start + size])
