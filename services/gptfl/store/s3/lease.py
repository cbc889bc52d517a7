"""Locks in an object store: a lease that its holder renews, and that ends when it does not.

The lock is one object, made under the condition that there is none. Whoever finds it asks the
server how old it is, by the server's own clock; past its lease it is taken over, under the
condition that it is still the one that was seen. A holder that stalled for longer than its lease
finds out before it writes anything more: by its own clock it knows that it must ask.
"""

import threading
import time
import uuid
from contextlib import suppress
from dataclasses import replace

from pydantic import ValidationError

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.spec.base import SpecModel
from gptfl.store.holder import Holder, is_gone, this_process
from gptfl.store.s3.client import Found, S3Client
from gptfl.store.s3.settings import S3Settings

_BEATS = 3
"""Renewals in the time of a lease."""
_ROUNDING = 1.0
"""Seconds by which an age may be wrong: HTTP tells time in whole seconds."""


def lease_settings(settings: S3Settings) -> S3Settings:
    """For the connections of leases: a renewal that stalls is made again while the lease runs."""
    beat = settings.lease_seconds / _BEATS
    return replace(
        settings,
        connect_seconds=min(settings.connect_seconds, beat),
        stall_seconds=min(settings.stall_seconds, beat),
    )


class _Content(SpecModel):
    """What stands in a lock."""

    token: str
    beat: int
    """Counts renewals, so that each is another object."""
    seconds: float
    """The lease."""
    holder: Holder | None


class Lease:
    """A hold on one lock, for one thread at a time."""

    def __init__(self, client: S3Client, key: str, what: str) -> None:
        """`what` is the lock's name for people."""
        self._client, self._key, self._what = client, key, what
        self._seconds = client.settings.lease_seconds
        self._token = uuid.uuid4().hex
        self._beat = 0
        self._etag: str | None = None
        self._renewed = 0.0
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {what}", daemon=True)

    def try_to_take(self) -> bool:
        """Whether the lock is held from now on."""
        began = time.monotonic()
        etag = self._client.create(self._key, self._content())
        if etag is None:
            found = self._client.read(self._key)
            if found is not None and is_held(found):
                return False
            if found is not None:
                began = time.monotonic()
                etag = self._client.replace(self._key, self._content(), found.etag)
        if etag is None:
            return False
        self._etag, self._renewed = etag, began
        self._thread.start()
        return True

    def check(self) -> None:
        """Raises StoreError when another process may have taken the lock over."""
        if time.monotonic() - self._renewed < self._seconds:
            return
        self._renew()
        if self._etag is None:
            raise StoreError(
                f"{self._client.settings.uri}: this process stood still for longer than its lease "
                f"on {self._what} ({self._seconds:g} s), and another one has taken it over; "
                "run the same command again to follow that one"
            )

    def release(self) -> None:
        """Frees the lock at once; where the server cannot be reached, it ends by itself."""
        self._ended.set()
        self._thread.join()
        left = self._seconds - (time.monotonic() - self._renewed)
        if self._etag is not None and left > 0:
            with suppress(StoreUnavailableError):
                # Not for longer than it is surely ours: some servers delete without a condition.
                self._client.delete(self._key, etag=self._etag, patience=left / 2)

    def _keep(self) -> None:
        while self._etag is not None and not self._ended.wait(self._seconds / _BEATS):
            # Whoever writes next is told, by `check`.
            with suppress(StoreError):
                self._renew()

    def _renew(self) -> None:
        with self._guard:
            if self._etag is None:
                return
            self._beat += 1
            began = time.monotonic()
            self._etag = self._replace(self._etag) or self._replace(self._last_etag())
            if self._etag is not None:
                self._renewed = began

    def _replace(self, etag: str | None) -> str | None:
        if etag is None:
            return None
        patience = self._seconds / _BEATS
        return self._client.replace(self._key, self._content(), etag, patience=patience)

    def _last_etag(self) -> str | None:
        """That of a renewal which was given up and came through all the same."""
        found = self._client.read(self._key, patience=self._seconds / _BEATS)
        content = _read(found) if found else None
        return found.etag if found and content and content.token == self._token else None

    def _content(self) -> bytes:
        content = _Content(
            token=self._token, beat=self._beat, seconds=self._seconds, holder=this_process()
        )
        return content.model_dump_json(by_alias=True).encode()


def is_held(found: Found) -> bool:
    """Whether the holder of a lock that was found may still be there."""
    content = _read(found)
    if content is None:
        return False
    if content.holder is not None and is_gone(content.holder):
        return False
    return found.age <= content.seconds + _ROUNDING


def _read(found: Found) -> _Content | None:
    """What stands in a lock; None when it is none of ours."""
    try:
        return _Content.model_validate_json(found.data)
    except ValidationError:
        return None
