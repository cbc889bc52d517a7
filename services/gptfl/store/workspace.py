"""The artifact that a stage is writing: a place for files, checkpoints, progress and cost."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from gptfl.seeds import derive_seed
from gptfl.store.artifact import artifact_prefix
from gptfl.store.blobs import Blobs
from gptfl.store.digests import hash_file
from gptfl.store.record import FileEntry


class ReportProgress(Protocol):
    """Told how far a stage is."""

    def __call__(self, done: int, total: int, unit: str, metrics: dict[str, float]) -> None: ...


def _unheard(done: int, total: int, unit: str, metrics: dict[str, float]) -> None:
    """Progress that nobody asked for."""


class Workspace:
    """What a stage's function writes to. One writer at a time holds a key's workspace."""

    def __init__(
        self,
        blobs: Blobs,
        stage: str,
        key: str,
        *,
        seed: int,
        folder: Path,
        report_progress: ReportProgress = _unheard,
    ) -> None:
        self._blobs = blobs
        self.key = key
        self._prefix = artifact_prefix(stage, key)
        self._report_progress = report_progress
        self.seed = seed
        """The run's seed; `derive_seed` makes the stage's own of it."""
        self.folder = folder
        """Where relative paths in the spec start."""
        self.files: dict[str, FileEntry] = {}
        self.device_seconds = 0.0
        self.bytes_sent = 0
        self.bytes_received = 0

    def derive_seed(self, *path: str | int) -> int:
        """A seed of its own for the thing that `path` names."""
        return derive_seed(self.seed, *path)

    @contextmanager
    def create(self, name: str) -> Iterator[Path]:
        """A path to write a file of the artifact to; taken over when the block ends well."""
        with self._blobs.scratch() as scratch:
            path = scratch / Path(name).name
            yield path
            entry = FileEntry(sha256=hash_file(path), bytes=path.stat().st_size)
            self._blobs.adopt(f"{self._prefix}/{name}", path, entry.sha256)
        self.files[name] = entry

    def write(self, name: str, data: bytes) -> None:
        """A file of the artifact from bytes."""
        with self.create(name) as path:
            path.write_bytes(data)

    def write_model(self, name: str, value: BaseModel) -> None:
        """A file of the artifact as readable JSON."""
        self.write(name, value.model_dump_json(indent=1, by_alias=True).encode())

    def save_checkpoint(self, name: str, data: bytes) -> None:
        """Keeps `data` until the artifact is finished; replaces what had this name."""
        self._blobs.write(f"{self._prefix}/partial/{name}", data)

    def load_checkpoint(self, name: str) -> bytes | None:
        """What an earlier, interrupted attempt saved, or None."""
        return self._blobs.read(f"{self._prefix}/partial/{name}")

    def drop_checkpoint(self, name: str) -> None:
        """Forgets a checkpoint; nothing happens when there is none."""
        self._blobs.remove(f"{self._prefix}/partial/{name}")

    def checkpoints(self) -> tuple[str, ...]:
        """The names of all checkpoints of earlier attempts and this one, sorted."""
        prefix = f"{self._prefix}/partial/"
        return tuple(name.removeprefix(prefix) for name in self._blobs.names(prefix.rstrip("/")))

    def hold(self, name: str) -> AbstractContextManager[bool]:
        """Holds a checkpoint of that name for one of several writers; False, and nothing held, when
        another one does. Freed too when its process dies."""
        return self._blobs.try_lock(self._lock(name))

    def is_held(self, name: str) -> bool:
        """Whether a living process holds a checkpoint of that name."""
        return self._blobs.is_locked(self._lock(name))

    def _lock(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def progress(self, done: int, total: int, unit: str, **metrics: float) -> None:
        """Says how far the stage is; cheap, so call it often."""
        self._report_progress(done, total, unit, metrics)
