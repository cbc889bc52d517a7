"""Blobs in a folder of a POSIX file system."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from gptfl.errors import StoreError
from gptfl.store.blobs import LocalFile
from gptfl.store.digests import hash_file
from gptfl.store.names import check_name
from gptfl.store.scratch import Place, ScratchFolders, as_store_error, flock
from gptfl.store.watch import StoreWatch

PLACE = Place("store", "--store")


class FolderBlobs:
    """Blobs in a folder of a POSIX file system."""

    def __init__(self, root: Path, *, must_exist: bool = False) -> None:
        self._root = root.absolute()
        self.uri = self._root.as_uri()
        self._scratch = ScratchFolders(self._root / "tmp", PLACE)
        if must_exist:
            if not self._root.is_dir():
                raise StoreError(
                    f"{self._root}: there is no store here; run something first or use --store"
                )
            return
        with as_store_error(self._root, PLACE):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def watch(self, watch: StoreWatch) -> None:
        pass

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        with as_store_error(path, PLACE):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._staged(name, data) as staged:
            staged.replace(self._path(name))

    def create(self, name: str, data: bytes) -> bool:
        with self._staged(name, data) as staged:
            try:
                os.link(staged, self._path(name))
            except FileExistsError:
                return False
        return True

    def adopt(self, name: str, path: Path, sha256: str) -> None:
        target = self._path(name)
        with as_store_error(target, PLACE):
            target.parent.mkdir(parents=True, exist_ok=True)
            # On the disk before the record that vouches for it.
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(target)

    def local(self, name: str, sha256: str | None = None) -> LocalFile | None:
        path = self._path(name)
        return LocalFile(path, hash_file(path)) if path.is_file() else None

    def gather(self, prefix: str, files: Mapping[str, LocalFile]) -> Path:
        return self._path(prefix)

    def names(self, prefix: str) -> Iterator[str]:
        files = (path for path in self._path(prefix).rglob("*") if path.is_file())
        yield from sorted(path.relative_to(self._root).as_posix() for path in files)

    def folders(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix)
        if folder.is_dir():
            yield from sorted(path.name for path in folder.iterdir() if path.is_dir())

    def remove(self, prefix: str) -> None:
        path = self._path(prefix)
        with as_store_error(path, PLACE):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def scratch(self) -> AbstractContextManager[Path]:
        return self._scratch.new()

    def sweep(self) -> None:
        self._scratch.sweep()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        with self._lock_file(name) as handle:
            flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        with self._lock_file(name) as handle:
            yield flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_locked(self, name: str) -> bool:
        path = self._root / "locks" / check_name(name)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return not flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[int]:
        path = self._root / "locks" / check_name(name)
        with as_store_error(path, PLACE):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    @contextmanager
    def _staged(self, name: str, data: bytes) -> Iterator[Path]:
        """The bytes in a scratch file, on the disk: a rename or link completes it."""
        target = self._path(name)
        with as_store_error(target, PLACE), self.scratch() as folder:
            staged = folder / target.name
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            yield staged
