"""What a generation worker counts: a process that draws the shards of a queue."""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
    ("run", "end"),
    "Shards by how they ended: drawn, found (another worker had drawn it), or failed.",
    values=tuple(ShardEnd),
)
REDELIVERED = Metric(
    "gptfl_worker_shards_redelivered_total",
    Counter,
    ("run",),
    "Shards that were handed out before, to a worker that died or took too long.",
)
SHARD_SECONDS = Metric(
    "gptfl_worker_shard_seconds", Histogram, ("run",), "Seconds that a shard took to draw."
)
IMAGE_SECONDS = Metric(
    "gptfl_worker_image_seconds", Histogram, ("run",), "Seconds an image, as the mean of a shard."
)
IMAGES = Metric("gptfl_worker_images_total", Counter, ("run",), "Images drawn.")
BUSY = Metric("gptfl_worker_busy", Gauge, ("run",), "1 while a shard is drawn, else 0.")

METRICS = (SHARDS, REDELIVERED, SHARD_SECONDS, IMAGE_SECONDS, IMAGES, BUSY)


class WorkerMetrics:
    """Told by a worker of one run what it does."""

    def __init__(self, registry: CollectorRegistry, run: str) -> None:
        self._metrics = Recorder(registry, METRICS)
        self._run = run
        for metric in METRICS:
            self._metrics.begin(metric, run)

    def begin(self, *, redelivered: bool) -> None:
        """A shard is begun."""
        self._metrics.set(BUSY, 1, self._run)
        if redelivered:
            self._metrics.count(REDELIVERED, 1, self._run)

    def drawn(self, images: int, seconds: float) -> None:
        """The shard's images are in the store."""
        self._end(ShardEnd.DRAWN)
        self._metrics.count(IMAGES, images, self._run)
        self._metrics.observe(SHARD_SECONDS, seconds, self._run)
        if images:
            self._metrics.observe(IMAGE_SECONDS, seconds / images, self._run)

    def found(self) -> None:
        """There was nothing to draw: the shard is in the store."""
        self._end(ShardEnd.FOUND)

    def failed(self) -> None:
        """The shard ended with an error."""
        self._end(ShardEnd.FAILED)

    def _end(self, end: ShardEnd) -> None:
        self._metrics.set(BUSY, 0, self._run)
        self._metrics.count(SHARDS, 1, self._run, end.value)
