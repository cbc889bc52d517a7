"""Named bytes in a folder: the few operations, each atomic, that the store is built on.

Another kind of place (an object store) has to offer these and nothing more.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from gptfl.errors import StoreError


class Blobs(Protocol):
    """Named bytes. Names are relative, with slashes; a name is whole or absent."""

    uri: str

    def read(self, name: str) -> bytes | None:
        """The bytes, or None when there are none of that name."""

    def write(self, name: str, data: bytes) -> None:
        """Writes or replaces."""

    def create(self, name: str, data: bytes) -> bool:
        """Writes if absent; False when somebody was first."""

    def adopt(self, name: str, path: Path) -> None:
        """Takes a local file over as `name`; `path` is gone afterwards."""

    def local(self, name: str) -> Path | None:
        """A local file with these bytes, not to be written to; None when absent."""

    def names(self, prefix: str) -> Iterator[str]:
        """All names below the folder `prefix`, sorted."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly below `prefix`, sorted."""

    def remove(self, prefix: str) -> None:
        """Removes the name, or all below it; nothing happens when it is absent."""

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty local folder from which `adopt` is cheap; gone at the end."""

    def sweep(self) -> None:
        """Removes what killed processes left in their scratch folders."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Waits for, holds and frees a lock; freed too when the process dies."""

    def try_lock(self, name: str) -> AbstractContextManager[bool]:
        """Holds a lock if nobody does; False, and nothing held, when somebody does."""

    def is_locked(self, name: str) -> bool:
        """Whether a living process holds the lock; writes nothing."""


class FolderBlobs:
    """Blobs in a folder of a POSIX file system."""

    def __init__(self, root: Path, *, must_exist: bool = False) -> None:
        self._root = root.absolute()
        self.uri = self._root.as_uri()
        if must_exist:
            if not self._root.is_dir():
                raise StoreError(
                    f"{self._root}: there is no store here; run something first or use --store"
                )
            return
        with _as_store_error(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        with _as_store_error(path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
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

    def adopt(self, name: str, path: Path) -> None:
        target = self._path(name)
        with _as_store_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            # On the disk before the record that vouches for it.
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(target)

    def local(self, name: str) -> Path | None:
        path = self._path(name)
        return path if path.is_file() else None

    def names(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(self._root).as_posix()

    def folders(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix)
        if folder.is_dir():
            yield from sorted(path.name for path in folder.iterdir() if path.is_dir())

    def remove(self, prefix: str) -> None:
        path = self._path(prefix)
        with _as_store_error(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        folder, handle = self._held_folder()
        try:
            yield folder
        except OSError as error:
            # What is written here is the store's; what a stage reads elsewhere is not.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            with _as_store_error(folder):
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)

    def _held_folder(self) -> tuple[Path, int]:
        """A new folder and the lock on it, from which `sweep` knows that it is in use."""
        parent = self._root / "tmp"
        with _as_store_error(parent):
            parent.mkdir(exist_ok=True)
            while True:
                folder = Path(tempfile.mkdtemp(dir=parent))
                handle = _open_folder(folder)
                if handle is not None:
                    _flock(handle, fcntl.LOCK_EX)
                    if folder.is_dir():
                        return folder, handle
                    # Swept before it was locked.
                    os.close(handle)

    def sweep(self) -> None:
        for folder in (self._root / "tmp").glob("*/"):
            handle = _open_folder(folder)
            if handle is None:
                continue
            try:
                if _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        with self._lock_file(name) as handle:
            _flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        with self._lock_file(name) as handle:
            yield _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_locked(self, name: str) -> bool:
        path = self._root / "locks" / name
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return not _flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[int]:
        path = self._root / "locks" / name
        with _as_store_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if ".." in path.parts or not path.is_relative_to(self._root):
            raise StoreError(f"{name!r} leaves the store; use a relative name without '..'")
        return path

    @contextmanager
    def _staged(self, name: str, data: bytes) -> Iterator[Path]:
        """The bytes in a scratch file, on the disk: a rename or link completes it."""
        target = self._path(name)
        with _as_store_error(target), self.scratch() as folder:
            staged = folder / target.name
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            yield staged


def _open_folder(folder: Path) -> int | None:
    """A handle of the folder, or None when another process has just removed it."""
    try:
        return os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _flock(handle: int, operation: int) -> bool:
    """Whether the lock was taken; waits for it unless told not to."""
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"this file system keeps no locks ({error.strerror}); choose another store with --store"
        ) from error
    return True


@contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    """Turns what the operating system says into one line that names the place and the way out."""
    try:
        yield
    except OSError as error:
        hint = {
            errno.ENOSPC: "free some space or choose another store with --store",
            errno.EDQUOT: "free some space or choose another store with --store",
            errno.EROFS: "choose a writable store with --store",
            errno.EACCES: "choose a writable store with --store",
            errno.EEXIST: "a file stands where the store's folder should be; use --store",
            errno.ENOTDIR: "a file stands where the store's folder should be; use --store",
        }.get(error.errno or 0, "choose another store with --store")
        raise StoreError(f"{path}: {error.strerror or error}; {hint}") from error
