"""The artifact store: finds, opens and commits artifacts, and keeps the runs' folders."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue, ValidationError

from gptfl.errors import DamagedArtifactError, SpecError, StoreError
from gptfl.store.artifact import Artifact, artifact_prefix
from gptfl.store.blobs import Blobs
from gptfl.store.folder import FolderBlobs
from gptfl.store.record import RECORD_NAME, Cost, InputEntry, Record
from gptfl.store.runs import RunFolder, StepStatus
from gptfl.store.workspace import Workspace

DEFAULT_FOLDER = ".gptfl"


class Store:
    """The only truth about what has been done. A stage has happened when its record is here."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    @property
    def uri(self) -> str:
        return self.blobs.uri

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact of that key, or None when it has not been made. Files are not read yet."""
        name = f"{artifact_prefix(stage, key)}/{RECORD_NAME}"
        data = self.blobs.read(name)
        if data is None:
            return None
        try:
            return Artifact(self.blobs, Record.model_validate_json(data))
        except ValidationError as error:
            raise DamagedArtifactError(
                f"{self.uri}/{name}: is not a record ({error.error_count()} faults); "
                f"remove it with 'gptfl artifacts remove {key[:12]}' and run again"
            ) from error

    def all_keys(self) -> Iterator[tuple[str, str]]:
        """Stage and key of all that is here: finished, unfinished and damaged."""
        for stage in self.blobs.folders("artifacts"):
            for key in self.blobs.folders(f"artifacts/{stage}"):
                yield stage, key

    def artifact_of(self, step: StepStatus | None) -> Artifact | None:
        """What a step of some run left, or None when it has left nothing yet."""
        return self.find(step.stage, step.key) if step and step.key else None

    def artifacts(self) -> Iterator[Artifact]:
        """Every finished artifact. Raises DamagedArtifactError at a record that cannot be read."""
        for stage, key in self.all_keys():
            artifact = self.find(stage, key)
            if artifact is not None:
                yield artifact

    @contextmanager
    def claim(self, stage: str, key: str) -> Iterator[None]:
        """Holds a key for one writer; whoever comes second waits, then finds the artifact made."""
        with self.blobs.lock(f"{stage}/{key}"):
            yield

    def commit(
        self,
        workspace: Workspace,
        *,
        stage: str,
        version: int,
        key: str,
        section: dict[str, JsonValue],
        inputs: Mapping[str, Artifact],
        metrics: Mapping[str, float],
        seconds: float,
        software: Mapping[str, str],
        fingerprints: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> Artifact:
        """Writes the record, after which the artifact exists, and drops the checkpoints."""
        record = Record(
            stage=stage,
            version=version,
            key=key,
            section=section,
            inputs={
                name: InputEntry(key=artifact.key, digest=artifact.digest)
                for name, artifact in inputs.items()
            },
            fingerprints=dict(fingerprints or {}),
            files=dict(sorted(workspace.files.items())),
            metrics=dict(metrics),
            cost=Cost(
                seconds=seconds,
                device_seconds=workspace.device_seconds,
                bytes_written=sum(entry.bytes for entry in workspace.files.values()),
                bytes_sent=workspace.bytes_sent,
                bytes_received=workspace.bytes_received,
            ),
            software=dict(software),
            created=now or datetime.now(UTC),
        )
        prefix = artifact_prefix(stage, key)
        self._drop_strangers(prefix, workspace)
        self.blobs.create(
            f"{prefix}/{RECORD_NAME}", record.model_dump_json(indent=1, by_alias=True).encode()
        )
        self.blobs.remove(f"{prefix}/partial")
        made = self.find(stage, key)
        if made is None:
            raise StoreError(f"{self.uri}/{prefix}: vanished while it was committed; run again")
        return made

    def _drop_strangers(self, prefix: str, workspace: Workspace) -> None:
        """Files that a killed attempt left and this one did not make are not the artifact's.

        Checkpoints stay until the record is there.
        """
        ours = {f"{prefix}/{name}" for name in (*workspace.files, RECORD_NAME)}
        for name in list(self.blobs.names(prefix)):
            if name not in ours and not name.startswith(f"{prefix}/partial/"):
                self.blobs.remove(name)

    def remove(self, stage: str, key: str) -> None:
        """Removes an artifact or what is left of one; the record goes first.

        Raises StoreError when it is being made at this moment.
        """
        with self.blobs.try_lock(f"{stage}/{key}") as free:
            if not free:
                raise StoreError(f"{stage}/{key[:12]} is being made; stop that run first")
            prefix = artifact_prefix(stage, key)
            self.blobs.remove(f"{prefix}/{RECORD_NAME}")
            self.blobs.remove(prefix)

    def run_folder(self, namespace: str, name: str, uid: str) -> RunFolder:
        """The folder of one run of one file."""
        return RunFolder(self.blobs, namespace, name, uid)

    def run_folders(self, namespace: str | None = None, name: str | None = None) -> list[RunFolder]:
        """The folders of all runs, or those of one name."""
        return [
            RunFolder(self.blobs, space, run, uid)
            for space in self.blobs.folders("runs")
            if namespace in (None, space)
            for run in self.blobs.folders(f"runs/{space}")
            if name in (None, run)
            for uid in self.blobs.folders(f"runs/{space}/{run}")
        ]


def open_store(
    uri: str | None,
    *,
    folder: Path | None = None,
    must_exist: bool = False,
    endpoint: str | None = None,
    region: str | None = None,
) -> Store:
    """The store at `uri`; when None, at `$GPTFL_STORE`, or else `.gptfl` in the working folder.

    Relative paths start at `folder`. A store that is only read from `must_exist` and need not be
    writable. `endpoint` and `region` of an `s3://` store go before those of the environment; the
    server is not asked yet. Raises SpecError for a URI that cannot be and StoreError for a place
    that cannot be written, or is not there.
    """
    uri = uri or os.environ.get("GPTFL_STORE") or DEFAULT_FOLDER
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        # minio takes a while to import, and a folder needs none.
        from gptfl.store.s3 import S3Blobs, s3_settings

        return Store(S3Blobs(s3_settings(uri, endpoint=endpoint, region=region)))
    if scheme not in ("", "file"):
        raise SpecError.of(
            "spec.artifacts.uri", f"{uri!r} has the unknown scheme {scheme!r}; use s3:// or file://"
        )
    path = Path(
        unquote(uri.removeprefix("file:").removeprefix("//")) if scheme else uri
    ).expanduser()
    return Store(FolderBlobs((folder or Path.cwd()) / path, must_exist=must_exist))
