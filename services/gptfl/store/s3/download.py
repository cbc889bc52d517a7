"""Files from an S3 server, hashed on the way; one that was cut goes on where it was cut."""

import hashlib
from collections.abc import Iterator
from enum import Enum
from http import HTTPStatus
from typing import BinaryIO

from urllib3.response import BaseHTTPResponse

from gptfl.errors import StoreUnavailableError
from gptfl.store.s3.client import S3Client
from gptfl.store.s3.errors import as_store_error

_CHUNK = 1 << 20


def download(client: S3Client, key: str, target: BinaryIO) -> str | None:
    """Writes an object to an empty file; its SHA-256, or None when there is none."""
    one = _Download(client, key, target)
    while True:
        state = client.ask("download", one.go_on, received=lambda _: one.taken)
        if state is not _State.CUT:
            return one.sha256() if state is _State.WHOLE else None


class _State(Enum):
    WHOLE, CUT, ABSENT = range(3)


class _Download:
    """As much of an object as has come."""

    def __init__(self, client: S3Client, key: str, target: BinaryIO) -> None:
        self._client, self._key, self._target = client, key, target
        self.taken = 0
        """Bytes of the last attempt."""
        self._begin_again()

    def _begin_again(self) -> None:
        self._etag: str | None = None
        self._hash = hashlib.sha256()
        self._target.seek(0)
        self._target.truncate()

    def sha256(self) -> str:
        """Of what has come."""
        return self._hash.hexdigest()

    def go_on(self) -> _State:
        """Takes what is still missing; CUT when some of it came, which is no reason to wait."""
        answer = self._answer()
        if self._etag is not None and (
            answer is None or answer.status != HTTPStatus.PARTIAL_CONTENT
        ):
            # Replaced or removed since the first bytes came, or a server that sends no parts.
            if answer is not None:
                answer.close()
            self._begin_again()
            answer = self._answer()
        if answer is None:
            return _State.ABSENT
        self._etag = answer.headers.get("ETag")
        self.taken = 0
        try:
            self._take(answer)
        except StoreUnavailableError as error:
            if self.taken == 0:
                raise
            self._client.watch.retry("download", error.reason)
            return _State.CUT
        return _State.WHOLE

    def _take(self, answer: BaseHTTPResponse) -> None:
        try:
            # Here and not beside: on two cores that a server shares, threads only got in the way.
            for chunk in self._chunks(answer):
                self._hash.update(chunk)
                self._target.write(chunk)
                self.taken += len(chunk)
        except BaseException:
            # With bytes still to come the connection is of no use to others.
            answer.close()
            raise
        answer.release_conn()

    def _chunks(self, answer: BaseHTTPResponse) -> Iterator[bytes]:
        with as_store_error(self._client.settings, "GET"):
            yield from answer.stream(_CHUNK)

    def _answer(self) -> BaseHTTPResponse | None:
        headers = {}
        if self._etag is not None:
            headers = {"Range": f"bytes={self._target.tell()}-", "If-Match": self._etag}
        return self._client.send("GET", self._key, headers=headers, stream=True)
