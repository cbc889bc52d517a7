"""What a generation worker counts: a process that draws the shards of a queue."""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram

from gptfl.telemetry.metrics.base import Metric, Recorder


class ShardEnd(StrEnum):
    """How a worker's shard ended."""

    DRAWN = "drawn"
    """Its images are in the store."""
    FOUND = "found"
    """Another worker's were there already."""
    FAILED = "failed"
    """With an error; it is tried again, here or elsewhere."""


SHARDS = Metric(
    "gptfl_worker_shards_total",
    Counter,
    ("queue", "end"),
    "Shards by how they ended: drawn, found (another worker had drawn it), or failed.",
    values=tuple(ShardEnd),
)
REDELIVERED = Metric(
    "gptfl_worker_shards_redelivered_total",
    Counter,
    ("queue",),
    "Shards that were handed out before, to a worker that died or took too long.",
)
SHARD_SECONDS = Metric(
    "gptfl_worker_shard_seconds", Histogram, ("queue",), "Seconds that a shard took to draw."
)
IMAGE_SECONDS = Metric(
    "gptfl_worker_image_seconds", Histogram, ("queue",), "Seconds an image, as the mean of a shard."
)
IMAGES = Metric("gptfl_worker_images_total", Counter, ("queue",), "Images drawn.")

METRICS = (SHARDS, REDELIVERED, SHARD_SECONDS, IMAGE_SECONDS, IMAGES)


class WorkerMetrics:
    """Told by a worker what it does; a queue is of one run."""

    def __init__(self, registry: CollectorRegistry, queue: str) -> None:
        self._metrics = Recorder(registry, METRICS)
        self._queue = queue
        for metric in METRICS:
            self._metrics.begin(metric, queue)

    def begin(self, *, redelivered: bool) -> None:
        """A shard is begun."""
        if redelivered:
            self._metrics.count(REDELIVERED, 1, self._queue)

    def drawn(self, images: int, seconds: float) -> None:
        """The shard's images are in the store."""
        self._end(ShardEnd.DRAWN)
        self._metrics.count(IMAGES, images, self._queue)
        self._metrics.observe(SHARD_SECONDS, seconds, self._queue)
        if images:
            self._metrics.observe(IMAGE_SECONDS, seconds / images, self._queue)

    def found(self) -> None:
        """There was nothing to draw: the shard is in the store."""
        self._end(ShardEnd.FOUND)

    def failed(self) -> None:
        """The shard ended with an error."""
        self._end(ShardEnd.FAILED)

    def _end(self, end: ShardEnd) -> None:
        self._metrics.count(SHARDS, 1, self._queue, end.value)
