"""Named bytes: the few operations, each atomic, that the store is built on.

A kind of place (a folder, an object store) has to offer these and nothing more.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gptfl.errors import DamagedArtifactError
from gptfl.store.watch import StoreWatch


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, not to be written to, and what is in it."""

    path: Path
    sha256: str
    """Of its bytes, as just read."""

    def check(self, sha256: str, uri: str, remedy: str) -> None:
        """Raises DamagedArtifactError, with what to do about it, for other bytes than recorded."""
        if self.sha256 != sha256:
            raise DamagedArtifactError(
                f"{uri}: is damaged (sha256 {self.sha256[:12]}…, recorded {sha256[:12]}…); {remedy}"
            )


class Blobs(Protocol):
    """Named bytes. Names are relative, with slashes; a name is whole or absent."""

    uri: str

    def watch(self, watch: StoreWatch) -> None:
        """Tells it of every request from now on; a folder makes none."""

    def read(self, name: str) -> bytes | None:
        """The bytes, or None when there are none of that name."""

    def write(self, name: str, data: bytes) -> None:
        """Writes or replaces."""

    def create(self, name: str, data: bytes) -> bool:
        """Writes if absent; False when somebody was first."""

    def adopt(self, name: str, path: Path, sha256: str) -> None:
        """Takes a local file with that digest over as `name`; `path` is gone afterwards."""

    def local(self, name: str, sha256: str | None = None) -> LocalFile | None:
        """A local file with these bytes; None when absent.

        A copy that was made earlier may do, when the caller says which digest it should have.
        """

    def gather(self, prefix: str, files: Mapping[str, LocalFile]) -> Path:
        """One local folder in which local files have the names that they have below `prefix`."""

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
