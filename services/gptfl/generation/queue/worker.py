"""What a worker does with a task, whoever brings it: draws the shard, or sees that it need not."""

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gptfl.errors import (
    DamagedArtifactError,
    GPTFLError,
    ModelError,
    SpecError,
    StoreError,
    StoreUnavailableError,
)
from gptfl.generation.draw import BrokenDeviceError, DrawingStoppedError
from gptfl.generation.items import Catalogue, Shard, catalogue_of
from gptfl.generation.pipeline import find_source, kind_of
from gptfl.generation.queue.messages import PLAN, MalformedTaskError, Plan, read_task
from gptfl.generation.queue.notes import Notes
from gptfl.generation.rawshards import DrawnShard, ShardFiles
from gptfl.generation.samples import Effort
from gptfl.generation.workers import Studio, open_studio
from gptfl.store import Store, Workspace

STAGE = "generation"
_LOG = logging.getLogger(__name__)


class GiveBackError(Exception):
    """This worker does not draw the shard now; another one may, or this one later."""


class UnfitWorkerError(GPTFLError):
    """This worker cannot draw, whatever the shard; others may."""


class WorkerWatch(Protocol):
    """Told what a worker does; the metrics of a worker are one."""

    def begin(self, *, redelivered: bool) -> None:
        """A shard is begun; `redelivered` when it was handed out before."""

    def drawn(self, images: int, seconds: float) -> None:
        """The shard is in the store."""

    def found(self) -> None:
        """There was nothing to draw."""

    def failed(self) -> None:
        """The shard ended with an error."""


@dataclass(frozen=True)
class _Job:
    """What all shards of an artifact have in common, made ready once."""

    key: str
    plan: Plan
    catalogue: Catalogue
    workspace: Workspace
    files: ShardFiles


class ShardWorker:
    """Draws shards one after the other; the generator is loaded once."""

    def __init__(self, store: Store, folder: Path, *, concurrency: int, watch: WorkerWatch) -> None:
        """Relative paths in the spec start at `folder`; `concurrency` is that of `Studio`."""
        self._store, self._folder, self._concurrency = store, folder, concurrency
        self._watch = watch
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.stop = threading.Event()
        """When it is set, the shard in hand is given back within a step of the pipeline."""
        self._job: _Job | None = None
        self._studio: Studio | None = None
        self._notes: Notes | None = None
        """Of the shard in hand; or of one given back while the store was away, until it is back:
        no worker died of that."""

    @property
    def is_over(self) -> bool:
        """Whether the artifact of the last task is made: nothing is left to draw."""
        return self._job is not None and self._is_made(self._job.key)

    def handle(self, payload: Any) -> None:
        """Draws the shard of a task, unless it is drawn or another worker draws it.

        Raises GiveBackError when the task should go back to the queue, and UnfitWorkerError or
        VersionSkewError when it should and this worker should end.
        """
        try:
            self._end_notes()
            task = read_task(payload)
            if self._is_made(task.key):
                return
            job = self._open_job(task.key)
            shard = task.shard(job.catalogue)
            with job.workspace.hold(shard.name) as mine:
                if not mine:
                    _LOG.info("%s is in another worker's hands", shard.name)
                elif job.files.load(shard) is not None:
                    self._watch.found()
                else:
                    self._watch.begin(redelivered=task.again)
                    self._draw(job, shard)
        except MalformedTaskError as error:
            _LOG.warning("a task is dropped: %s", error)
        except StoreUnavailableError as error:
            # The store asks again by itself as long as that may help soon.
            raise GiveBackError(str(error)) from error
        except StoreError as error:
            with suppress(StoreError):
                self._end_notes()
            raise UnfitWorkerError(str(error)) from error

    def _open_job(self, key: str) -> _Job:
        if self._job is None or self._job.key != key:
            workspace = Workspace(self._store.blobs, STAGE, key, seed=0, folder=self._folder)
            data = workspace.load_checkpoint(PLAN)
            if data is None:
                raise UnfitWorkerError(
                    f"{self._store.uri}: has no plan of {key[:12]}; use the coordinator's --store"
                )
            plan = Plan.model_validate_json(data)
            spec, labels = plan.section.generation, plan.section.labels
            kind = kind_of(spec.generator, find_source(spec.generator, self._folder))
            catalogue = catalogue_of(plan.section, plan.prompts, even=kind.family.guidance_by_image)
            if self._job is not None and not _draws_alike(self._job.plan, plan):
                self._studio = None
            self._job = _Job(key, plan, catalogue, workspace, ShardFiles(workspace, labels))
        return self._job

    def _draw(self, job: _Job, shard: Shard) -> None:
        notes = self._notes = Notes(job.workspace, shard.name, self.name)
        began = time.monotonic()
        try:
            notes.begin()
            samples, batch = self._open_studio(job).draw_one(shard)
            seconds = time.monotonic() - began
            # A worker that stood still may come after the end.
            if not self._is_made(job.key):
                job.files.keep(DrawnShard(shard, samples, Effort(seconds, batch, self.name)))
            self._end_notes()
        except DrawingStoppedError as error:
            self._end_notes()
            raise GiveBackError("this worker was asked to end") from error
        except StoreError:
            raise
        except Exception as error:
            self._watch.failed()
            notes.fail(error, final=isinstance(error, ModelError | SpecError))
            self._end_notes()
            if isinstance(error, UnfitWorkerError | BrokenDeviceError):
                raise UnfitWorkerError(str(error)) from error
            _LOG.warning("%s: %s", shard.name, error)
        else:
            self._watch.drawn(len(samples), seconds)
            _LOG.info("%s: %d images in %.1f s", shard.name, len(samples), seconds)

    def _end_notes(self) -> None:
        if self._notes is not None:
            self._notes.end()
            self._notes = None

    def _open_studio(self, job: _Job) -> Studio:
        """The generator, loaded with the first shard: until then nobody knows which it is."""
        if self._studio is None:
            section = job.plan.section
            spec = section.generation.model_copy(update={"workers": self._concurrency})
            try:
                self._studio = open_studio(
                    spec, self._folder, section.compute_threads, stop=self.stop
                )
            except (ModelError, DamagedArtifactError) as error:
                # Weights that are not here may be elsewhere.
                raise UnfitWorkerError(str(error)) from error
        return self._studio

    def _is_made(self, key: str) -> bool:
        return self._store.find(STAGE, key) is not None


def _draws_alike(one: Plan, other: Plan) -> bool:
    """Whether a generator that was loaded for one plan serves for the other."""
    return (one.section.generation, one.section.compute_threads) == (
        other.section.generation,
        other.section.compute_threads,
    )
