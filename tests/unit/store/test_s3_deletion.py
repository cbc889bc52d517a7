"""Objects that a server does not delete now are asked for again; those it refuses are told."""

import pytest
from minio import Minio
from minio.deleteobjects import DeleteError, DeleteObject

from gptfl.errors import StoreError
from gptfl.store.s3 import s3_settings
from gptfl.store.s3.client import S3Client


@pytest.fixture
def client() -> S3Client:
    return S3Client(s3_settings("s3://bucket", endpoint="http://127.0.0.1:1", environment={}))


def fault(code: str) -> DeleteError:
    return DeleteError(code=code, message=None, name="b", version_id=None)


def test_what_may_be_deleted_later_is_asked_for_again(
    client: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[fault("InternalError")], [fault("SlowDown")], []]
    asked: list[list[str]] = []

    def remove(minio: Minio, bucket: str, keys: list[DeleteObject]) -> list[DeleteError]:
        asked.append([key.name for key in keys])
        return answers.pop(0)

    monkeypatch.setattr(Minio, "remove_objects", remove)
    client.delete_all(["a", "b"])
    assert asked == [["a", "b"]] * 3


def test_what_may_not_be_deleted_is_told_at_once(
    client: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(minio: Minio, bucket: str, keys: list[DeleteObject]) -> list[DeleteError]:
        return [fault("SlowDown"), fault("AccessDenied")]

    monkeypatch.setattr(Minio, "remove_objects", remove)
    with pytest.raises(StoreError, match=r"1 objects cannot be deleted, such as b \(AccessDenied"):
        client.delete_all(["a", "b"])
