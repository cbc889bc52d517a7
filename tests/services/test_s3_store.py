"""A bucket keeps what blobs promise, on two servers, and what only a bucket can."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from blobs_contract import BlobsContract, put
from faulty_proxy import FaultyProxy
from s3_buckets import client_of, new_place
from servers import S3Server, SeaweedFS

from gptfl.errors import DamagedArtifactError, StoreError, StoreUnavailableError
from gptfl.store import Store, Workspace, open_store
from gptfl.store.s3 import S3Blobs, S3Settings, s3_settings
from gptfl.store.s3.client import S3Client
from gptfl.store.s3.upload import sweep_uploads, upload

MB = 1 << 20
PART = 5 * MB
"""The least that a server takes."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def uri(s3_server: S3Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_CACHE", str(cache))
    return new_place(s3_server)


@pytest.fixture
def settings(uri: str) -> S3Settings:
    return replace(s3_settings(uri), part_bytes=PART)


@pytest.fixture
def blobs(settings: S3Settings) -> S3Blobs:
    return S3Blobs(settings)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """Lets everything through but what a test puts into `next`."""
    with FaultyProxy(s3_server.port, percent=0) as proxy:
        yield proxy


def behind(proxy: FaultyProxy, settings: S3Settings) -> S3Settings:
    """The same store through the proxy, with little patience for a stall."""
    through = s3_settings(settings.uri, endpoint=proxy.endpoint)
    return replace(through, stall_seconds=1.5, patience_seconds=30, part_bytes=PART)


class TestS3(BlobsContract):
    @pytest.fixture
    def uri(self, uri: str) -> str:
        return uri


def test_two_stores_of_a_bucket_do_not_see_each_other(settings: S3Settings) -> None:
    here = settings.prefix
    one = S3Blobs(replace(settings, prefix=f"{here}a/"))
    other = S3Blobs(replace(settings, prefix=f"{here}ab/"))
    root = S3Blobs(settings)
    one.write("x/1", b"1")
    other.write("x/2", b"2")

    assert list(one.names("x")) == ["x/1"]
    assert list(root.names("a")) == ["a/x/1"]
    root.remove("a")
    assert list(other.names("x")) == ["x/2"]


def test_more_names_than_one_answer_holds(blobs: S3Blobs) -> None:
    names = [f"many/{number:04}" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: blobs.write(name, b"x"), names))

    assert list(blobs.names("many")) == names
    blobs.remove("many")
    assert list(blobs.names("many")) == []


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * PART + 5])
def test_files_of_every_size_come_back_whole(blobs: S3Blobs, cache: Path, size: int) -> None:
    data = os.urandom(size)
    digest = put(blobs, "a/big.bin", data)
    shutil.rmtree(cache)
    found = blobs.local("a/big.bin", digest)

    assert found is not None
    assert found.sha256 == digest == hashlib.sha256(found.path.read_bytes()).hexdigest()


def test_a_large_checkpoint_goes_in_parts_too(blobs: S3Blobs) -> None:
    data = os.urandom(2 * PART + 1)
    blobs.write("checkpoint", data)

    assert blobs.read("checkpoint") == data


def test_what_was_made_or_fetched_here_is_not_fetched_again(
    settings: S3Settings, proxy: FaultyProxy
) -> None:
    blobs = S3Blobs(behind(proxy, settings))
    digest = put(blobs, "a/model.safetensors", b"weights")
    calls = proxy.calls

    assert blobs.local("a/model.safetensors", digest) is not None
    assert blobs.local("b/another-name.safetensors", digest) is not None
    assert proxy.calls == calls


def test_a_damaged_copy_is_fetched_again(blobs: S3Blobs) -> None:
    digest = put(blobs, "a/x.json", b"whole")
    found = blobs.local("a/x.json", digest)
    assert found is not None
    folder = blobs.gather("a", {"x.json": found})
    found.path.write_bytes(b"other")
    again = blobs.local("a/x.json", digest)

    assert again is not None
    assert again.path.read_bytes() == b"whole"
    assert (blobs.gather("a", {"x.json": again}) / "x.json").read_bytes() == b"whole"
    assert (folder / "x.json").read_bytes() == b"whole"


def test_an_object_that_was_tampered_with_is_never_read(uri: str, cache: Path) -> None:
    store = open_store(uri)
    workspace = Workspace(store.blobs, "prompts", "k" * 64, seed=0, folder=Path())
    workspace.write("prompts.json", b"a cat")
    commit(store, workspace)
    store.blobs.write(f"artifacts/prompts/{'k' * 64}/prompts.json", b"a cot")
    shutil.rmtree(cache)
    found = store.find("prompts", "k" * 64)

    assert found is not None
    with pytest.raises(DamagedArtifactError, match=r"is damaged .*gptfl artifacts remove kkk"):
        found.read("prompts.json")


def test_a_commit_is_one_record_and_no_checkpoints(uri: str) -> None:
    store = open_store(uri)
    for text in (b"first", b"second"):
        workspace = Workspace(store.blobs, "prompts", "k" * 64, seed=0, folder=Path())
        workspace.write("prompts.json", b"a cat")
        workspace.save_checkpoint("round/1", text)
        workspace.bytes_sent = len(text)
        made = commit(store, workspace)

    assert made.record.cost.bytes_sent == len(b"first")
    assert workspace.checkpoints() == ()
    assert (made.folder() / "prompts.json").read_bytes() == b"a cat"
    assert list(store.all_keys()) == [("prompts", "k" * 64)]
    store.remove("prompts", "k" * 64)
    assert list(store.all_keys()) == []


def test_a_report_can_be_opened(uri: str) -> None:
    path = open_store(uri).run_folder("default", "pets", "1").write_report("<html></html>")

    assert path.name == "report.html"
    assert path.read_text() == "<html></html>"
    assert open_store(uri).run_folder("default", "pets", "1").report() == path


@pytest.mark.parametrize("fault", ["unavailable", "reset", "stall", "cut request", "cut answer"])
def test_a_call_that_failed_is_made_again(
    settings: S3Settings, proxy: FaultyProxy, fault: str
) -> None:
    blobs = S3Blobs(behind(proxy, settings))
    for act in (
        lambda: blobs.write("a", b"1"),
        lambda: blobs.read("a"),
        lambda: list(blobs.names("x")),
        lambda: blobs.local("a"),
        lambda: blobs.create("b", b"1"),
        lambda: blobs.remove("a"),
        blobs.sweep,
    ):
        proxy.next = [fault]
        act()

    assert proxy.faults[fault] == 7
    assert blobs.read("a") is None
    assert blobs.read("b") == b"1"


def test_a_commit_whose_answer_was_lost_is_ones_own(
    settings: S3Settings, proxy: FaultyProxy
) -> None:
    blobs = S3Blobs(behind(proxy, settings))
    proxy.next = ["lost answer"]
    assert blobs.create("mine", b"record") is True
    blobs.write("theirs", b"another record")
    proxy.next = ["reset"]
    assert blobs.create("theirs", b"record") is False


def test_a_lock_whose_answer_was_lost_is_ones_own(
    settings: S3Settings, proxy: FaultyProxy, blobs: S3Blobs
) -> None:
    proxy.next = ["lost answer"]
    with S3Blobs(behind(proxy, settings)).try_lock("x") as taken:
        assert taken
        assert blobs.is_locked("x")


@pytest.mark.parametrize("faults", [["cut answer"] * 4, ["cut answer", "reset", "stall"]])
def test_a_download_goes_on_where_it_was_cut(
    settings: S3Settings, proxy: FaultyProxy, cache: Path, faults: list[str]
) -> None:
    data = os.urandom(8 * MB)
    digest = put(S3Blobs(settings), "a/big.bin", data)
    shutil.rmtree(cache)
    proxy.next = list(faults)
    watch = Counting()
    blobs = S3Blobs(behind(proxy, settings))
    blobs.watch(watch)
    found = blobs.local("a/big.bin", digest)

    assert found is not None
    assert found.sha256 == digest
    assert proxy.next == []
    assert watch.received == 8 * MB  # no byte came twice


@pytest.mark.parametrize(
    "fault", ["unavailable", "stall", "cut request", "cut answer", "lost answer"]
)
@pytest.mark.parametrize("call", range(6))
def test_an_upload_ends_whole_whichever_of_its_calls_fails(
    settings: S3Settings, proxy: FaultyProxy, fault: str, call: int
) -> None:
    """Its calls are: begin, four parts, join."""
    size = 3 * PART + 7
    data = os.urandom(MB) * (size // MB + 1)
    client = S3Client(behind(proxy, settings))
    proxy.next = [*[""] * call, fault]
    key = f"{settings.prefix}big"
    upload(client, key, lambda at, length: data[at : min(at + length, size)], size)
    found = S3Client(settings).read(key)

    assert proxy.faults[fault] == 1
    assert found is not None
    assert found.data == data[:size]


def test_an_upload_that_fails_for_good_leaves_no_parts(
    settings: S3Settings, proxy: FaultyProxy, s3_server: S3Server
) -> None:
    client = S3Client(replace(behind(proxy, settings), patience_seconds=0))
    proxy.next = ["", "", "unavailable"]
    with pytest.raises(StoreUnavailableError, match="cannot do this now"):
        upload(client, f"{settings.prefix}big", lambda at, length: bytes(length), 3 * PART)

    listed = client_of(s3_server)._list_multipart_uploads(
        settings.bucket, prefix=f"{settings.prefix}big"
    )
    assert listed.uploads == []


def test_what_killed_uploads_left_is_swept(settings: S3Settings, s3_server: S3Server) -> None:
    minio = client_of(s3_server)
    key = f"{settings.prefix}artifacts/big"
    minio._create_multipart_upload(settings.bucket, key, {})

    def uploads() -> int:
        return len(minio._list_multipart_uploads(settings.bucket, prefix=key).uploads)

    client = S3Client(settings)
    sweep_uploads(client, settings.prefix)
    assert uploads() == 1  # it may be at work
    # MinIO lists uploads by whole key alone, and sweeps them itself.
    # A server tells the time in whole seconds.
    any_age = timedelta(seconds=-1)
    sweep_uploads(client, key if s3_server.kind == "minio" else settings.prefix, any_age)
    assert uploads() == 0


def test_what_others_upload_into_the_bucket_is_not_swept(
    seaweedfs_server: SeaweedFS, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is the whole bucket, and has more of its own to sweep than one answer lists."""
    sweep_any = partial(sweep_uploads, older_than=timedelta(seconds=-1))
    monkeypatch.setattr("gptfl.store.s3.blobs.sweep_uploads", sweep_any)
    monkeypatch.setattr("gptfl.store.s3.upload.PAGE", 2, raising=False)
    for name, value in (*seaweedfs_server.environment.items(), ("GPTFL_CACHE", str(cache))):
        monkeypatch.setenv(name, value)
    minio = client_of(seaweedfs_server)
    bucket = "shared-with-others"
    minio.make_bucket(bucket)
    ours = [f"artifacts/generation/{number}/files.parquet" for number in range(3)]
    ours += ["artifacts/generation/2/files.parquet", "runs/default/a/b"]
    for key in (*ours, "backups/artifacts/of-somebody"):
        minio._create_multipart_upload(bucket, key, {})

    S3Blobs(s3_settings(f"s3://{bucket}")).sweep()
    left = minio._list_multipart_uploads(bucket).uploads
    assert [one.object_name for one in left] == ["backups/artifacts/of-somebody"]


class Counting:
    """A watch that adds up."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.retries: list[tuple[str, str]] = []
        self.failures: list[tuple[str, str]] = []
        self.sent = self.received = 0

    def request(self, operation: str, seconds: float, *, sent: int = 0, received: int = 0) -> None:
        self.operations.append(operation)
        self.sent += sent
        self.received += received

    def retry(self, operation: str, reason: str) -> None:
        self.retries.append((operation, reason))

    def failure(self, operation: str, reason: str) -> None:
        self.failures.append((operation, reason))


def test_a_watch_is_told_of_every_request(settings: S3Settings, proxy: FaultyProxy) -> None:
    blobs, watch = S3Blobs(replace(behind(proxy, settings), patience_seconds=0.5)), Counting()
    blobs.watch(watch)
    proxy.next = ["unavailable"]
    blobs.write("a", b"12345")
    blobs.read("a")
    proxy.next = ["reset"] * 20
    with pytest.raises(StoreError):
        blobs.read("a")

    assert watch.operations == ["write", "read"]
    assert (watch.sent, watch.received) == (5, 5)
    assert watch.retries[0] == ("write", "SlowDown")
    assert watch.failures == [("read", "connection")]


def commit(store: Store, workspace: Workspace):  # type: ignore[no-untyped-def]
    return store.commit(
        workspace,
        stage="prompts",
        version=1,
        key="k" * 64,
        section={},
        inputs={},
        metrics={},
        seconds=0.0,
        software={},
    )
