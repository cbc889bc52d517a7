"""What the coordinator tells the workers: a plan in the store, and a task a shard on the queue."""

from collections.abc import Iterable
from functools import cache
from importlib import metadata
from itertools import groupby
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from gptfl.errors import GPTFLError
from gptfl.generation.items import Catalogue, Item, Shard
from gptfl.prompts.results import PromptSet
from gptfl.spec.base import SpecModel
from gptfl.spec.sections import GenerationSection

PLAN = "plan.json"
"""The plan's name among the checkpoints."""

DRAWING_SOFTWARE = ("gptfl", "torch", "diffusers", "transformers")
"""Another version of these may draw other bits."""


class VersionSkewError(GPTFLError):
    """Coordinator and worker do not run the same software."""


class MalformedTaskError(Exception):
    """A message that no coordinator of ours has sent."""


class Plan(SpecModel):
    """What all shards of an artifact have in common."""

    section: GenerationSection
    prompts: PromptSet


class ImageRange(SpecModel):
    """The images `first` to `stop` - 1 of a label."""

    label: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    stop: Annotated[int, Field(gt=0)]


class ShardTask(SpecModel):
    """One shard to draw. Prompts, seeds and guidance follow from the plan and these numbers."""

    software: dict[str, str]
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Of the artifact that the shard is a part of."""
    round: Annotated[int, Field(ge=0)]
    index: Annotated[int, Field(ge=0)]
    again: bool
    """It was handed out before, to a worker that died or failed."""
    images: Annotated[tuple[ImageRange, ...], Field(min_length=1)]

    def shard(self, catalogue: Catalogue) -> Shard:
        """The shard with all its items. Raises MalformedTaskError for labels that there are not."""
        if any(one.label >= len(catalogue.labels) for one in self.images):
            raise MalformedTaskError(f"a label is not among the {len(catalogue.labels)} of the run")
        items = (
            catalogue.item(one.label, n) for one in self.images for n in range(one.first, one.stop)
        )
        return Shard(self.round, self.index, tuple(items))


def task_id(key: str, shard: Shard) -> str:
    """By which the task of a shard is known on the queue: the same whenever it is sent."""
    return f"{key[:12]}/{shard.name}"


def task_of(shard: Shard, key: str, *, again: bool = False) -> ShardTask:
    """The task to draw a shard of an artifact."""
    return ShardTask(
        software=software(),
        key=key,
        round=shard.round,
        index=shard.index,
        again=again,
        images=tuple(_ranges(shard.items)),
    )


def read_task(payload: Any) -> ShardTask:
    """The task in a message. Raises MalformedTaskError, and VersionSkewError when this process
    would draw with other software than the coordinator's."""
    try:
        envelope = _Envelope.model_validate(payload)
        # First, because another version's tasks may look different.
        _check_software(envelope.software)
        return ShardTask.model_validate(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "task"
        raise MalformedTaskError(f"{where}: {first['msg']}") from error


@cache
def software() -> dict[str, str]:
    """The versions of what draws; a build for another accelerator is the same version."""
    return {name: metadata.version(name).partition("+")[0] for name in DRAWING_SOFTWARE}


class _Envelope(BaseModel):
    """What a task of any version has."""

    software: dict[str, str]


def _check_software(theirs: dict[str, str]) -> None:
    ours = software()
    others = [
        f"{name} {theirs.get(name, 'none')} and not {ours.get(name, 'none')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if others:
        raise VersionSkewError(
            f"the coordinator has {', '.join(others)}, and other versions may draw other images; "
            "use the same image or environment for both"
        )


def _ranges(items: Iterable[Item]) -> Iterable[ImageRange]:
    """Runs of consecutive images of one label."""
    numbered = enumerate(items)
    for _, run in groupby(numbered, key=lambda pair: (pair[1].label, pair[1].n - pair[0])):
        found = [item for _, item in run]
        yield ImageRange(label=found[0].label, first=found[0].n, stop=found[-1].n + 1)
