"""Files to an S3 server: a large one in parts, side by side, each of which is sent again alone."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from xml.etree import ElementTree as ET

from minio.datatypes import ListMultipartUploadsResult, Upload
from urllib3.response import BaseHTTPResponse

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.store.s3.client import S3Client
from gptfl.store.s3.errors import ForgottenUploadError

Source = Callable[[int, int], bytes]
"""The bytes from an offset on, so many."""

_SIDE_BY_SIDE = 4
_MOST_PARTS = 10_000
_TIMES = 3
"""Uploads that are begun for one file before the server is thought to be ill."""
STALE = timedelta(days=1)
"""Age after which an upload is that of a process which died: none takes so long."""
PAGE = 1000
"""Uploads that one request may list."""


def upload(client: S3Client, key: str, source: Source, size: int) -> None:
    """Writes or replaces an object."""
    if size <= client.settings.part_bytes:
        client.write(key, source(0, size))
        return
    for _ in range(_TIMES):
        one = _Upload(client, key)
        try:
            one.send(source, size)
            return
        except ForgottenUploadError:
            # Perhaps it was joined and the answer got lost, perhaps it was swept: it is made again.
            continue
        except BaseException:
            with suppress(StoreError):
                one.abort()
            raise
    raise StoreUnavailableError(
        f"{client.settings.uri}: uploads are forgotten before they end; see whether the server is "
        "well",
        reason="NoSuchUpload",
    )


class _Upload:
    """One multipart upload."""

    def __init__(self, client: S3Client, key: str) -> None:
        self._client, self._key = client, key
        self._id = client.ask("upload", self._begin)

    def _begin(self) -> str:
        return _text(self._request("POST", {"uploads": ""}), "UploadId")

    def send(self, source: Source, size: int) -> None:
        """Sends all parts and has them joined; nothing is there before that."""
        length = max(self._client.settings.part_bytes, -(-size // _MOST_PARTS))
        starts = range(0, size, length)

        def send_part(number: int) -> str:
            data = source(starts[number - 1], min(length, size - starts[number - 1]))
            return self._client.ask("upload", lambda: self._part(number, data), sent=len(data))

        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            sent = [pool.submit(send_part, number) for number in range(1, len(starts) + 1)]
            try:
                etags = [one.result() for one in sent]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._client.ask("upload", lambda: self._join(etags))

    def _part(self, number: int, data: bytes) -> str:
        query = {"partNumber": str(number), "uploadId": self._id}
        return self._request("PUT", query, data).headers["ETag"].strip('"')

    def _join(self, etags: list[str]) -> None:
        body = ET.Element("CompleteMultipartUpload")
        for number, etag in enumerate(etags, start=1):
            part = ET.SubElement(body, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = f'"{etag}"'
        # A server may find out that it cannot when it has said 200 already: then there is no ETag.
        _text(self._request("POST", {"uploadId": self._id}, ET.tostring(body)), "ETag")

    def abort(self) -> None:
        """Frees what has been sent; asked for once."""
        self._request("DELETE", {"uploadId": self._id})

    def _request(
        self, method: str, query: Mapping[str, str], body: bytes | None = None
    ) -> BaseHTTPResponse:
        answer = self._client.send(method, self._key, body=body, query=query)
        if answer is None:
            raise ForgottenUploadError(f"{self._client.settings.uri}: {self._key} is not uploaded")
        return answer


def _text(answer: BaseHTTPResponse, tag: str) -> str:
    try:
        found = ET.fromstring(answer.data).findtext(f"{{*}}{tag}")
    except ET.ParseError:
        found = None
    if not found:
        raise StoreUnavailableError("the server's answer is not whole", reason="answer")
    return found


def sweep_uploads(client: S3Client, prefix: str, older_than: timedelta = STALE) -> None:
    """Aborts uploads below `prefix` of processes that died, as far as the server lists them.

    MinIO lists none by prefix and removes them itself, after a day too. A key that may not list
    uploads leaves them to the bucket's own rules.
    """
    try:
        pages = list(_pages(client, prefix))
    except StoreUnavailableError:
        raise
    except StoreError:
        return
    for now, uploads in pages:
        for one in uploads:
            if one.initiated_time and one.upload_id and now - one.initiated_time >= older_than:
                _abort(client, one.object_name, one.upload_id)


def _pages(client: S3Client, prefix: str) -> Iterator[tuple[datetime, list[Upload]]]:
    """Uploads, and the server's time when it listed them."""
    query = {"uploads": "", "prefix": prefix, "max-uploads": str(PAGE)}
    while True:
        answer = client.ask("list", partial(client.send, "GET", "", query=query))
        if answer is None:
            return
        found = ListMultipartUploadsResult(answer)
        yield parsedate_to_datetime(answer.headers["Date"]), found.uploads
        # minio does not read the second of the two.
        page = ET.fromstring(answer.data)
        markers = {
            "key-marker": page.findtext("{*}NextKeyMarker") or "",
            "upload-id-marker": page.findtext("{*}NextUploadIdMarker") or "",
        }
        if not found.is_truncated or markers.items() <= query.items():
            return
        query = query | markers


def _abort(client: S3Client, key: str, upload_id: str) -> None:
    with suppress(ForgottenUploadError):
        client.ask("delete", lambda: client.send("DELETE", key, query={"uploadId": upload_id}))
