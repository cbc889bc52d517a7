"""What workers write down beside the shards: that one was begun, and how one failed.

A note of a beginning stands until its shard is drawn, failed or given back; so one that nobody
holds any more is of a worker that died.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gptfl.errors import (
    DataError,
    GPTFLError,
    MissingDependencyError,
    ModelError,
    Problem,
    SpecError,
    StageError,
    StoreError,
)
from gptfl.spec.base import SpecModel
from gptfl.store import Workspace

_SUFFIX = ".parquet"
_BEGUN, _FAILED = ".begun-", ".failed-"


class Failure(SpecModel):
    """Why a shard could not be drawn."""

    kind: str
    """The error's type."""
    message: str
    worker: str
    final: bool
    """Another attempt would fail in the same way."""

    def error(self) -> GPTFLError:
        """The worker's error, to be raised here."""
        if self.kind == SpecError.__name__:
            return SpecError([Problem("", line) for line in self.message.splitlines()])
        family: Mapping[str, type[GPTFLError]] = {
            kind.__name__: kind for kind in (DataError, MissingDependencyError, ModelError)
        }
        return family.get(self.kind, StageError)(self.message)


@dataclass(frozen=True)
class Trouble:
    """What the notes say of one shard."""

    begun: int = 0
    """Workers that began it and neither finished nor failed: one at work, the others dead."""
    failed: tuple[str, ...] = ()
    """The names of the failures' notes."""


def shard_of(name: str) -> str:
    """The name of the shard that a checkpoint is, or is a note of."""
    stem, suffix, _ = name.partition(_SUFFIX)
    return stem + suffix


def sort_names(names: Iterable[str]) -> tuple[set[str], dict[str, Trouble]]:
    """Of a workspace's checkpoints, the shards that are drawn, and by shard what is noted."""
    drawn: set[str] = set()
    begun: Counter[str] = Counter()
    failed: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        shard = shard_of(name)
        if name.endswith(_SUFFIX):
            drawn.add(name)
        elif name.startswith(f"{shard}{_BEGUN}"):
            begun[shard] += 1
        elif name.startswith(f"{shard}{_FAILED}"):
            failed[shard].append(name)
    troubles = {
        name: Trouble(begun[name], tuple(failed[name])) for name in begun.keys() | failed.keys()
    }
    return drawn, troubles


class Notes:
    """One worker's notes of one shard."""

    def __init__(self, workspace: Workspace, shard: str, worker: str) -> None:
        self._workspace, self._shard, self._worker = workspace, shard, worker
        self._begun = f"{shard}{_BEGUN}{uuid.uuid4().hex[:12]}"

    def begin(self) -> None:
        """The shard is in this worker's hands."""
        self._workspace.save_checkpoint(self._begun, self._worker.encode())

    def end(self) -> None:
        """It is no more: drawn, failed or given back."""
        self._workspace.drop_checkpoint(self._begun)

    def fail(self, error: Exception, *, final: bool) -> None:
        """It could not be drawn, and why; to be ended all the same."""
        message = str(error) if isinstance(error, GPTFLError) else _unknown(error)
        failure = Failure(
            kind=type(error).__name__, message=message, worker=self._worker, final=final
        )
        name = f"{self._shard}{_FAILED}{uuid.uuid4().hex[:12]}"
        self._workspace.save_checkpoint(name, failure.model_dump_json(by_alias=True).encode())


def _unknown(error: Exception) -> str:
    said = " ".join(str(error).split())[:300] or "no message"
    return f"spec.generation: drawing failed with {type(error).__name__}: {said}"


def read_failure(workspace: Workspace, name: str) -> Failure:
    """The failure in a note."""
    data = workspace.load_checkpoint(name)
    if data is None:
        raise StoreError(f"{name}: vanished while the stage was at work; run again")
    return Failure.model_validate_json(data)
