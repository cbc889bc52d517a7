"""Draws shards with several threads that share the weights.

Threads and not processes: torch computes without the interpreter's lock, so two threads keep two
cores busy (benchmarks/generation.py), while each process more would load torch and the weights
anew, which takes longer than drawing a small data set.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gptfl.generation.draw import (
    THREAD_NAME,
    DrawingStoppedError,
    Painter,
    draw_shard,
    draw_together,
)
from gptfl.generation.items import Shard
from gptfl.generation.pipeline import drawing_devices, find_source, load_pipeline
from gptfl.generation.rawshards import DrawnShard, ShardFiles
from gptfl.generation.samples import Effort, Sample
from gptfl.spec.generation import GenerationSpec

PATIENCE = 1.0
"""Seconds for which workers that have to stop are waited for."""


def open_studio(
    spec: GenerationSpec,
    folder: Path,
    compute_threads: int,
    *,
    stop: threading.Event | None = None,
) -> "Studio":
    """Loads the generator once for each device; workers on the same device share it. All end within
    a step of their pipelines when `stop` is set.

    Raises SpecError, ModelError or DamagedArtifactError for what cannot be loaded.
    """
    source = find_source(spec.generator, folder)
    devices = drawing_devices(spec.generator, spec.workers, compute_threads)
    torch.set_num_threads(compute_threads)
    stop = stop or threading.Event()
    first: dict[torch.device, Painter] = {}
    painters = []
    for device in devices:
        if device in first:
            painters.append(first[device].another())
        else:
            first[device] = Painter(load_pipeline(spec.generator, source, device), spec, stop)
            painters.append(first[device])
    return Studio(painters, stop, compute_threads)


class Studio:
    """Painters at work, each in a thread of its own."""

    def __init__(
        self, painters: Sequence[Painter], stop: threading.Event, compute_threads: int
    ) -> None:
        self.painters = painters
        self._stop = stop
        self._compute_threads = compute_threads

    def draw(
        self, shards: Sequence[Shard], files: ShardFiles, heard: Callable[[int], None]
    ) -> None:
        """Draws all shards; when anything fails, here or in a worker, all workers stop within a
        step of their pipelines."""
        todo: queue.SimpleQueue[Shard] = queue.SimpleQueue()
        news: queue.SimpleQueue[int | DrawnShard | BaseException] = queue.SimpleQueue()
        for shard in shards:
            todo.put(shard)
        threads = [
            threading.Thread(
                target=self._work,
                args=(painter, f"thread {number}", todo, news),
                name=THREAD_NAME,
                daemon=True,
            )
            for number, painter in enumerate(self.painters[: len(shards)])
        ]
        left = len(shards)
        try:
            for thread in threads:
                thread.start()
            while left:
                new = news.get()
                if isinstance(new, BaseException):
                    raise new
                if isinstance(new, DrawnShard):
                    left -= 1
                    files.keep(new)
                else:
                    heard(new)
        finally:
            if left:
                self._stop.set()
            deadline = time.monotonic() + PATIENCE
            for thread in threads:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def draw_one(self, shard: Shard) -> tuple[list[Sample], int]:
        """Draws one shard with all hands; also the number of images that were drawn at once.

        Raises DrawingStoppedError when it was told to stop.
        """
        samples = draw_together(self.painters, shard.items, self._compute_threads)
        return samples, min(painter.largest for painter in self.painters)

    def _work(
        self,
        painter: Painter,
        name: str,
        todo: "queue.SimpleQueue[Shard]",
        news: "queue.SimpleQueue[int | DrawnShard | BaseException]",
    ) -> None:
        # OpenMP counts threads for each thread that calls it.
        torch.set_num_threads(self._compute_threads)
        while not self._stop.is_set():
            try:
                shard = todo.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            try:
                samples = draw_shard(painter, shard.items, news.put)
            except DrawingStoppedError:
                return
            except BaseException as error:  # whatever it is, it is the caller's
                news.put(error)
                return
            effort = Effort(time.monotonic() - began, painter.largest, name)
            news.put(DrawnShard(shard, samples, effort))
