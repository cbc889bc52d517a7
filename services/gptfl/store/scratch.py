"""Scratch folders that are known to be in use, so that those of killed processes can be swept."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gptfl.errors import StoreError


@dataclass(frozen=True)
class Place:
    """What a folder is for and which setting chooses it, for messages."""

    kind: str
    setting: str


class ScratchFolders:
    """Makes and sweeps the folders below one folder. Each is locked by the process that uses it."""

    def __init__(self, parent: Path, place: Place) -> None:
        self._parent, self._place = parent, place

    @contextmanager
    def new(self) -> Iterator[Path]:
        """An empty folder, gone at the end."""
        folder, handle = self._held_folder()
        try:
            yield folder
        except OSError as error:
            # What is written here is the store's; what a stage reads elsewhere is not.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            with as_store_error(folder, self._place):
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)

    def _held_folder(self) -> tuple[Path, int]:
        """A new folder and the lock on it, from which `sweep` knows that it is in use."""
        with as_store_error(self._parent, self._place):
            self._parent.mkdir(parents=True, exist_ok=True)
            while True:
                folder = Path(tempfile.mkdtemp(dir=self._parent))
                handle = _open_folder(folder)
                if handle is not None:
                    flock(handle, fcntl.LOCK_EX)
                    if folder.is_dir():
                        return folder, handle
                    # Swept before it was locked.
                    os.close(handle)

    def sweep(self) -> None:
        """Removes what killed processes left."""
        for folder in self._parent.glob("*/"):
            handle = _open_folder(folder)
            if handle is None:
                continue
            try:
                if flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _open_folder(folder: Path) -> int | None:
    """A handle of the folder, or None when another process has just removed it."""
    try:
        return os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None


def flock(handle: int, operation: int) -> bool:
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
def as_store_error(path: Path, place: Place) -> Iterator[None]:
    """Turns what the operating system says into one line that names the place and the way out."""
    try:
        yield
    except OSError as error:
        kind, setting = place.kind, place.setting
        hint = {
            errno.ENOSPC: f"free some space or choose another {kind} with {setting}",
            errno.EDQUOT: f"free some space or choose another {kind} with {setting}",
            errno.EROFS: f"choose a writable {kind} with {setting}",
            errno.EACCES: f"choose a writable {kind} with {setting}",
            errno.EEXIST: f"a file stands where the {kind}'s folder should be; use {setting}",
            errno.ENOTDIR: f"a file stands where the {kind}'s folder should be; use {setting}",
        }.get(error.errno or 0, f"choose another {kind} with {setting}")
        raise StoreError(f"{path}: {error.strerror or error}; {hint}") from error
