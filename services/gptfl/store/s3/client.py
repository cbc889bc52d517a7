"""The requests that the store makes to an S3 server, each made again while that may help.

Only what every S3 server of today does is used: objects, listings, batch deletion, multipart
uploads, and writes under the conditions `If-None-Match: *` and `If-Match`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar

from minio import Minio
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3.response import BaseHTTPResponse

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.store.s3.connections import open_connections
from gptfl.store.s3.credentials import CurrentCredentials
from gptfl.store.s3.errors import as_store_error, undeleted
from gptfl.store.s3.retry import Retry
from gptfl.store.s3.settings import S3Settings
from gptfl.store.watch import StoreWatch, Unwatched

T = TypeVar("T")

_BATCH = 1000
"""Keys that one request may delete."""


@dataclass(frozen=True)
class Found:
    """An object as it was when it was read."""

    data: bytes
    etag: str
    age: float
    """Seconds since it was written, by the server's clock."""


@dataclass
class Common:
    """What clients of one server share, each with connections of its own."""

    watch: StoreWatch = field(default_factory=Unwatched)
    has_answered: bool = False
    """The server has, whichever of them asked."""


class S3Client:
    """One bucket. Keys are whole: the store's prefix is in them."""

    def __init__(self, settings: S3Settings, common: Common | None = None) -> None:
        self.settings = settings
        self._common = common or Common()
        self._minio = Minio(
            settings.endpoint.netloc,
            secure=settings.endpoint.scheme == "https",
            region=settings.region,
            credentials=CurrentCredentials(settings.variables),
            http_client=open_connections(settings),
        )

    @property
    def watch(self) -> StoreWatch:
        """Who is told of requests."""
        return self._common.watch

    def read(self, key: str, *, patience: float | None = None) -> Found | None:
        """The object, or None."""

        def attempt() -> Found | None:
            answer = self.send("GET", key)
            return None if answer is None else _found(answer)

        return self.ask("read", attempt, patience=patience, received=_size)

    def write(self, key: str, data: bytes) -> None:
        """Writes or replaces."""
        self.ask("write", lambda: self.send("PUT", key, body=data), sent=len(data))

    def create(self, key: str, data: bytes, *, patience: float | None = None) -> str | None:
        """Writes if there is none; its ETag, or None when somebody was first."""
        return self._write_if(key, data, {"If-None-Match": "*"}, patience)

    def replace(
        self, key: str, data: bytes, etag: str, *, patience: float | None = None
    ) -> str | None:
        """Writes if it is still that of `etag`; the new ETag, or None when it is not."""
        return self._write_if(key, data, {"If-Match": f'"{etag}"'}, patience)

    def _write_if(
        self, key: str, data: bytes, condition: Mapping[str, str], patience: float | None
    ) -> str | None:
        attempts = 0

        def attempt() -> str | None:
            nonlocal attempts
            attempts += 1
            answer = self.send("PUT", key, body=data, headers=condition)
            if answer is not None:
                return _etag(answer)
            # An earlier attempt may have come through although its answer did not.
            found = self.read(key, patience=patience) if attempts > 1 else None
            return found.etag if found and found.data == data else None

        return self.ask("write", attempt, patience=patience, sent=len(data))

    def delete(self, key: str, *, etag: str, patience: float) -> None:
        """Deletes what is still that of `etag`, where the server looks at it."""
        headers = {"If-Match": f'"{etag}"'}
        self.ask("delete", lambda: self.send("DELETE", key, headers=headers), patience=patience)

    def delete_all(self, keys: Sequence[str]) -> None:
        """Deletes objects, in the order given as far as it goes in batches; absent ones too."""
        for start in range(0, len(keys), _BATCH):
            batch = [DeleteObject(key) for key in keys[start : start + _BATCH]]
            self.ask("delete", partial(self._delete_batch, batch))

    def _delete_batch(self, batch: list[DeleteObject]) -> None:
        with as_store_error(self.settings, "DELETE"):
            faults = list(self._minio.remove_objects(self.settings.bucket, batch))
        if faults:
            raise undeleted(self.settings, faults)

    def list(self, prefix: str, *, deep: bool) -> list[str]:
        """Keys that begin so, sorted; unless `deep`, a folder's name with its slash for all in it.

        Zero-byte keys that end with a slash stand for folders in some tools and are left out.
        """

        def attempt() -> list[Object]:
            with as_store_error(self.settings, "GET"):
                found = self._minio.list_objects(
                    self.settings.bucket, prefix=prefix, recursive=deep
                )
                return list(found)

        keys = [str(found.object_name) for found in self.ask("list", attempt)]
        return sorted(key for key in keys if key != prefix and not (deep and key.endswith("/")))

    def send(
        self,
        method: str,
        key: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> BaseHTTPResponse | None:
        """One attempt of one request; None for what is absent or not as its condition says."""
        with as_store_error(self.settings, method):
            try:
                # minio's own methods pass no conditions on.
                return self._minio._execute(
                    method,
                    self.settings.bucket,
                    key,
                    body=body,
                    headers=dict(headers or {}),
                    query_params=dict(query or {}),
                    preload_content=not stream,
                )
            except S3Error as error:
                if error.code not in ("NoSuchKey", "PreconditionFailed"):
                    raise
                return None

    def ask(
        self,
        operation: str,
        attempt: Callable[[], T],
        *,
        patience: float | None = None,
        sent: int = 0,
        received: Callable[[T], int] = lambda answer: 0,
    ) -> T:
        """Makes attempts until one ends well or the patience does; tells the watch."""
        common = self._common

        def limit() -> float:
            if patience is not None:
                return patience
            asked = self.settings
            return asked.patience_seconds if common.has_answered else asked.first_patience_seconds

        began = time.monotonic()
        retry = Retry(limit, told=lambda reason: self.watch.retry(operation, reason))
        try:
            answer = retry(attempt)
        except StoreError as error:
            reason = error.reason if isinstance(error, StoreUnavailableError) else "refused"
            self.watch.failure(operation, reason)
            raise
        common.has_answered = True
        seconds = time.monotonic() - began
        self.watch.request(operation, seconds, sent=sent, received=received(answer))
        return answer


def _found(answer: BaseHTTPResponse) -> Found:
    now, written = answer.headers["Date"], answer.headers["Last-Modified"]
    age = parsedate_to_datetime(now) - parsedate_to_datetime(written)
    return Found(answer.data, _etag(answer), age.total_seconds())


def _etag(answer: BaseHTTPResponse) -> str:
    return answer.headers.get("ETag", "").strip('"')


def _size(found: Found | None) -> int:
    return len(found.data) if found else 0
