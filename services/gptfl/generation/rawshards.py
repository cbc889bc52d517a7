"""Shards as they were drawn, kept in the workspace: what a killed run does not draw again."""

import time
from collections.abc import Iterator, Sequence

from gptfl.errors import StoreError
from gptfl.generation.items import Shard
from gptfl.generation.samples import Sample, from_parquet, to_parquet
from gptfl.generation.workers import DrawnShard, Studio
from gptfl.store import Workspace


class RawShards:
    """Draws shards that are not there yet, and reads those that are."""

    def __init__(self, workspace: Workspace, studio: Studio, labels: Sequence[str]) -> None:
        self._workspace, self._studio, self._labels = workspace, studio, labels
        self._planned = 0
        self._done = 0
        self.drawn_now = 0
        """Images that this process has drawn."""
        self.seconds = 0.0
        """Wall-clock time of that."""

    def draw(self, shards: Sequence[Shard]) -> None:
        """Draws what is missing of `shards`; each is a checkpoint as soon as it is done."""
        missing = [shard for shard in shards if not self._take_over(shard)]
        self._planned += sum(len(shard.items) for shard in shards)
        began, before = time.monotonic(), self.seconds

        def heard(images: int) -> None:
            self._done += images
            self.drawn_now += images
            self.seconds = before + time.monotonic() - began
            self._report()

        self._report()
        self._studio.draw(missing, on_images=heard, on_shard=self._keep)

    def read(self, shards: Sequence[Shard]) -> Iterator[list[Sample]]:
        """The images of each shard, one shard in memory at a time."""
        for shard in shards:
            found = self._load(shard)
            if found is None:
                raise StoreError(f"{shard.name}: vanished while the stage was at work; run again")
            yield found[0]

    def samples(self, shards: Sequence[Shard]) -> Iterator[Sample]:
        """All images, in order."""
        for samples in self.read(shards):
            yield from samples

    def _take_over(self, shard: Shard) -> bool:
        """Whether an earlier attempt has drawn the shard; its time counts too."""
        found = self._load(shard)
        if found is None:
            return False
        self._done += len(shard.items)
        self._workspace.device_seconds += found[1]
        return True

    def _keep(self, drawn: DrawnShard) -> None:
        data = to_parquet(drawn.samples, self._labels, seconds=drawn.seconds)
        self._workspace.save_checkpoint(drawn.shard.name, data)
        self._workspace.device_seconds += drawn.seconds

    def _load(self, shard: Shard) -> tuple[list[Sample], float] | None:
        data = self._workspace.load_checkpoint(shard.name)
        if data is None:
            return None
        samples, seconds = from_parquet(data)
        # Other items under this name: another version of diffusers guides in another way.
        return (samples, seconds) if [s.item for s in samples] == list(shard.items) else None

    def _report(self) -> None:
        rate = {"images_per_second": self.drawn_now / self.seconds} if self.seconds else {}
        self._workspace.progress(self._done, self._planned, "images", **rate)
