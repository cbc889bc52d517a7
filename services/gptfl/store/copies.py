"""Local copies of what is in a store across a network: each file once, by its digest."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gptfl.spec.base import canonical_json, sha256
from gptfl.store.blobs import LocalFile
from gptfl.store.digests import hash_file
from gptfl.store.scratch import Place, ScratchFolders, as_store_error

PLACE = Place("cache", "GPTFL_CACHE")


class LocalCopies:
    """A folder that many processes and runs share. It can be removed whenever nothing runs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.scratch = ScratchFolders(root / "tmp", PLACE)

    def find(self, name: str, digest: str) -> LocalFile | None:
        """A copy of that digest, read through; one that has been damaged is removed."""
        path = self._of_digest(name, digest)
        with as_store_error(path, PLACE):
            if not path.is_file():
                return None
            if hash_file(path) == digest:
                return LocalFile(path, digest)
            path.unlink(missing_ok=True)
            return None

    def keep(self, name: str, path: Path, digest: str) -> LocalFile:
        """Takes a scratch file over as the copy of its digest."""
        return LocalFile(self._move(path, self._of_digest(name, digest)), digest)

    def keep_named(self, key: str, path: Path, digest: str) -> LocalFile:
        """Takes a scratch file over under its name in the store: people open it."""
        return LocalFile(self._move(path, self._root / "named" / key), digest)

    def gather(self, files: Mapping[str, LocalFile]) -> Path:
        """A folder in which the copies have these names; the same files share one."""
        listed = canonical_json({name: file.sha256 for name, file in files.items()})
        folder = self._root / "folders" / sha256(listed)
        with as_store_error(folder, PLACE):
            for name, file in files.items():
                self._link(file.path, folder / name)
        return folder

    def _link(self, path: Path, target: Path) -> None:
        if target.is_file() and target.samefile(path):
            return
        with self.scratch.new() as scratch:
            staged = scratch / target.name
            try:
                os.link(path, staged)
            except OSError:
                # A file system without hard links.
                shutil.copyfile(path, staged)
            self._move(staged, target)

    def _move(self, path: Path, target: Path) -> Path:
        with as_store_error(target, PLACE):
            target.parent.mkdir(parents=True, exist_ok=True)
            return path.replace(target)

    def _of_digest(self, name: str, digest: str) -> Path:
        """The ending stays: libraries go by it."""
        return self._root / "files" / digest[:2] / f"{digest}{Path(name).suffix}"
