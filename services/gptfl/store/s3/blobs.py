"""Named bytes in a bucket, with local copies of files."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gptfl.store.blobs import LocalFile
from gptfl.store.copies import LocalCopies
from gptfl.store.names import check_name
from gptfl.store.s3.client import Common, S3Client
from gptfl.store.s3.download import download
from gptfl.store.s3.lease import Lease, is_held, lease_settings
from gptfl.store.s3.settings import S3Settings
from gptfl.store.s3.upload import sweep_uploads, upload
from gptfl.store.watch import StoreWatch

_WAIT = 1.0
"""Seconds between two looks at a lock that somebody holds."""
_FOLDERS = ("artifacts", "runs")
"""In which a store's files are."""


class S3Blobs:
    """Blobs in a bucket of an S3 server. Nothing is asked of the server until it is needed."""

    def __init__(self, settings: S3Settings) -> None:
        self.uri = settings.uri
        self._common = Common()
        self._client = S3Client(settings, self._common)
        self._lease_client = S3Client(lease_settings(settings), self._common)
        self._prefix = settings.prefix
        self._copies = LocalCopies(settings.cache)
        self._leases: set[Lease] = set()

    def watch(self, watch: StoreWatch) -> None:
        self._common.watch = watch

    def read(self, name: str) -> bytes | None:
        found = self._client.read(self._key(name))
        return found.data if found else None

    def write(self, name: str, data: bytes) -> None:
        self._check_leases()
        upload(self._client, self._key(name), lambda at, size: data[at : at + size], len(data))

    def create(self, name: str, data: bytes) -> bool:
        self._check_leases()
        return self._client.create(self._key(name), data) is not None

    def adopt(self, name: str, path: Path, sha256: str) -> None:
        self._check_leases()
        with path.open("rb") as file:
            handle = file.fileno()
            size = os.fstat(handle).st_size
            upload(
                self._client,
                self._key(name),
                lambda at, length: os.pread(handle, length, at),
                size,
            )
        # The next stage reads it here.
        self._copies.keep(name, path, sha256)

    def local(self, name: str, sha256: str | None = None) -> LocalFile | None:
        key = self._key(name)
        if sha256 is not None and (found := self._copies.find(name, sha256)):
            return found
        with self._copies.scratch.new() as folder:
            path = folder / Path(name).name
            with path.open("w+b") as file:
                digest = download(self._client, key, file)
            if digest is None:
                return None
            if sha256 is None:
                named = f"{self._client.settings.bucket}/{key}"
                return self._copies.keep_named(named, path, digest)
            return self._copies.keep(name, path, digest)

    def gather(self, prefix: str, files: Mapping[str, LocalFile]) -> Path:
        return self._copies.gather(files)

    def names(self, prefix: str) -> Iterator[str]:
        for key in self._client.list(f"{self._key(prefix)}/", deep=True):
            yield key.removeprefix(self._prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        folder = f"{self._key(prefix)}/"
        keys = self._client.list(folder, deep=False)
        yield from sorted(key[len(folder) : -1] for key in keys if key.endswith("/"))

    def remove(self, prefix: str) -> None:
        self._check_leases()
        name = self._key(prefix)
        keys = self._client.list(f"{name}/", deep=True)
        self._client.delete_all([name, *keys, *_folder_marks(name, keys)])

    def scratch(self) -> AbstractContextManager[Path]:
        return self._copies.scratch.new()

    def sweep(self) -> None:
        self._copies.scratch.sweep()
        # The bucket may be others' too, whose uploads are theirs.
        for folder in _FOLDERS:
            sweep_uploads(self._client, f"{self._prefix}{folder}/")

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        lease = self._lease(name)
        while not lease.try_to_take():
            time.sleep(_WAIT * (0.5 + random.random() / 2))
        self._leases.add(lease)
        try:
            yield
        finally:
            self._leases.discard(lease)
            lease.release()

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        lease = self._lease(name)
        if not lease.try_to_take():
            yield False
            return
        try:
            yield True
        finally:
            lease.release()

    def is_locked(self, name: str) -> bool:
        found = self._client.read(self._lock(name))
        return found is not None and is_held(found)

    def _lease(self, name: str) -> Lease:
        return Lease(self._lease_client, self._lock(name), name)

    def _lock(self, name: str) -> str:
        return f"{self._prefix}locks/{check_name(name)}"

    def _check_leases(self) -> None:
        """Nothing is changed under a lock that another process may have taken over."""
        for lease in tuple(self._leases):
            lease.check()

    def _key(self, name: str) -> str:
        return f"{self._prefix}{check_name(name)}"


def _folder_marks(name: str, keys: list[str]) -> list[str]:
    """The folders below and including `name`, deepest first.

    A server that keeps real folders goes on listing empty ones; to others these are absent keys.
    """
    below = {key[: at + 1] for key in keys for at in range(len(name), len(key)) if key[at] == "/"}
    return sorted({*below, f"{name}/"}, key=len, reverse=True)
