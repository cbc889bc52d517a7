"""Shards as they were drawn, kept in the workspace: what a killed run does not draw again."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gptfl.errors import StoreError
from gptfl.generation.items import Shard
from gptfl.generation.samples import (
    Effort,
    Sample,
    UnreadableSamplesError,
    from_parquet,
    to_parquet,
)
from gptfl.store import Workspace

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnShard:
    """A shard that has been drawn."""

    shard: Shard
    samples: list[Sample]
    effort: Effort


class ShardFiles:
    """The shards in a workspace, for all who draw into it."""

    def __init__(self, workspace: Workspace, labels: Sequence[str]) -> None:
        self.workspace, self._labels = workspace, labels
        self._damaged: set[str] = set()

    def keep(self, drawn: DrawnShard) -> None:
        """Makes a shard a checkpoint."""
        data = to_parquet(drawn.samples, self._labels, drawn.effort)
        self.workspace.save_checkpoint(drawn.shard.name, data)

    def load(self, shard: Shard) -> DrawnShard | None:
        """A shard that somebody has drawn, or None: one that cannot be read is drawn again."""
        data = self.workspace.load_checkpoint(shard.name)
        if data is None:
            return None
        try:
            samples, effort = from_parquet(data)
        except UnreadableSamplesError as error:
            if shard.name not in self._damaged:
                _LOG.warning("%s is damaged and is drawn again (%s)", shard.name, error)
            self._damaged.add(shard.name)
            return None
        # Other items under this name: another version of diffusers guides in another way.
        is_this = [sample.item for sample in samples] == list(shard.items)
        return DrawnShard(shard, samples, effort) if is_this else None


class Hands(Protocol):
    """Who draws: threads of this process, or workers on a queue."""

    def draw(
        self, shards: Sequence[Shard], files: ShardFiles, heard: Callable[[int], None]
    ) -> None:
        """Draws all shards; each is kept in `files` as soon as it is done.

        `heard` is told, in this thread, how many more images have been drawn. When a shard cannot
        be drawn, its error is raised here, and what was kept until then stays.
        """


class RawShards:
    """Has shards drawn that are not there yet, and reads those that are."""

    def __init__(self, files: ShardFiles, hands: Hands) -> None:
        self._files, self._hands = files, hands
        self._planned = 0
        self._done = 0
        self._drawn_now = 0
        self._seconds = 0.0
        self._workers: set[str] = set()
        self._smallest_batch: int | None = None

    def draw(self, shards: Sequence[Shard]) -> None:
        """Draws what is missing of `shards`."""
        missing = [shard for shard in shards if self._files.load(shard) is None]
        planned = sum(len(shard.items) for shard in shards)
        self._planned += planned
        self._done += planned - sum(len(shard.items) for shard in missing)
        began, before = time.monotonic(), self._seconds

        def heard(images: int) -> None:
            self._done += images
            self._drawn_now += images
            self._seconds = before + time.monotonic() - began
            self._report()

        self._report()
        self._hands.draw(missing, self._files, heard)

    def collect(self, shards: Sequence[Shard]) -> Iterator[list[Sample]]:
        """The images of each shard, one in memory at a time; to be called once for each, since its
        effort is added to the artifact's cost."""
        for shard in shards:
            drawn = self._load(shard)
            self._files.workspace.device_seconds += drawn.effort.seconds
            self._workers.add(drawn.effort.worker)
            batch = drawn.effort.batch
            self._smallest_batch = min(batch, self._smallest_batch or batch)
            yield drawn.samples

    def samples(self, shards: Sequence[Shard]) -> Iterator[Sample]:
        """All images, in order."""
        for shard in shards:
            yield from self._load(shard).samples

    def metrics(self) -> dict[str, float]:
        """Who drew, and how fast."""
        rate = {"images_per_second": self._drawn_now / self._seconds} if self._seconds else {}
        return rate | {
            "workers": float(len(self._workers)),
            "effective_batch_size": float(self._smallest_batch or 0),
        }

    def _load(self, shard: Shard) -> DrawnShard:
        found = self._files.load(shard)
        if found is None:
            raise StoreError(f"{shard.name}: vanished while the stage was at work; run again")
        return found

    def _report(self) -> None:
        rate = {"images_per_second": self._drawn_now / self._seconds} if self._seconds else {}
        self._files.workspace.progress(self._done, self._planned, "images", **rate)
