"""A finished artifact, read with every file checked against its digest."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from gptfl.errors import DamagedArtifactError
from gptfl.store.blobs import Blobs, LocalFile
from gptfl.store.record import Record

Model = TypeVar("Model", bound=BaseModel)


def artifact_prefix(stage: str, key: str) -> str:
    """Where an artifact's files stand in the store."""
    return f"artifacts/{stage}/{key}"


class Artifact:
    """What a stage left: a record and its files."""

    def __init__(self, blobs: Blobs, record: Record) -> None:
        self._blobs = blobs
        self.record = record
        self._checked: dict[str, LocalFile] = {}

    @property
    def stage(self) -> str:
        return self.record.stage

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def digest(self) -> str:
        return self.record.digest

    @property
    def prefix(self) -> str:
        """Its folder in the store."""
        return artifact_prefix(self.stage, self.key)

    @property
    def uri(self) -> str:
        return f"{self._blobs.uri}/{self.prefix}"

    def names(self) -> tuple[str, ...]:
        """Its files, sorted."""
        return tuple(sorted(self.record.files))

    def path(self, name: str) -> Path:
        """A local file, checked against its digest on first use; not to be written to.

        Raises DamagedArtifactError when the file is missing or is not what the record says.
        """
        return self._local(name).path

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self.path(name).read_bytes()

    def read_model(self, name: str, model: type[Model]) -> Model:
        """A JSON file as a typed value."""
        return model.model_validate_json(self.read(name))

    def folder(self) -> Path:
        """A local folder with all files, each checked: for libraries that load a folder."""
        return self._blobs.gather(self.prefix, {name: self._local(name) for name in self.names()})

    def _local(self, name: str) -> LocalFile:
        if name not in self._checked:
            self._checked[name] = self._check(name)
        return self._checked[name]

    def _check(self, name: str) -> LocalFile:
        entry = self.record.files.get(name)
        if entry is None:
            raise DamagedArtifactError(
                f"{self.uri}: has no file {name}; it has {list(self.names())}"
            )
        found = self._blobs.local(f"{self.prefix}/{name}", entry.sha256)
        if found is None:
            raise DamagedArtifactError(f"{self.uri}/{name}: is missing; {self._remedy()}")
        found.check(entry.sha256, f"{self.uri}/{name}", self._remedy())
        return found

    def _remedy(self) -> str:
        return f"remove it with 'gptfl artifacts remove {self.key[:12]}' and run again"
