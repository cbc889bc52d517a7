"""The servers that the other tests lean on do start, answer, and leave nothing behind."""

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest
import redis
from minio import Minio as Client
from servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Process,
    Prometheus,
    Redis,
    S3Server,
    free_port,
    listens,
    wait_until,
)


def test_an_s3_server_keeps_bytes(s3_server: S3Server) -> None:
    client = Client(
        f"127.0.0.1:{s3_server.port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False
    )
    wait_until(lambda: client.list_buckets() is not None, "an answer")

    client.make_bucket("smoke")

    assert [bucket.name for bucket in client.list_buckets() if bucket.name == "smoke"] == ["smoke"]


@pytest.mark.parametrize("keeps", [True, False])
def test_redis_comes_back_with_its_data_or_without(tmp_path: Path, *, keeps: bool) -> None:
    with Redis(tmp_path / "redis", keeps=keeps) as server:
        redis.Redis(port=server.port).set("a", "b")

        server.kill()
        server.start()

        assert redis.Redis(port=server.port).get("a") == (b"b" if keeps else None)


def test_prometheus_scrapes_itself(tmp_path: Path) -> None:
    port = free_port()
    with Prometheus(tmp_path / "prometheus", {"nobody": f"127.0.0.1:{port}"}) as server:
        wait_until(lambda: _up(server) == "0", "the scrape of a port where nobody is")


def _up(server: Prometheus) -> str | None:
    with urllib.request.urlopen(f"{server.url}/api/v1/query?query=up") as answer:
        found = json.load(answer)["data"]["result"]
    return found[0]["value"][1] if found else None


def test_what_was_started_is_gone_afterwards(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis") as server:
        pid, port = server.pid, server.port
        os.kill(pid, signal.SIGSTOP)  # not even deaf ones stay

    assert not listens(port)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("last", ["wait", "exit 1"], ids=["never ready", "ends at once"])
def test_what_does_not_start_leaves_nothing_behind(tmp_path: Path, last: str) -> None:
    child = tmp_path / "child"
    shell = ["sh", "-c", f"sleep 600 & echo $! > {child}; {last}"]
    server = Process(shell, tmp_path / "log", ready=lambda: False, seconds=1)

    with pytest.raises(pytest.fail.Exception, match=r"did not happen|ended at once"):
        server.start()

    pid = int(child.read_text())
    wait_until(lambda: not _runs(pid), "the end of what it has started")


def _runs(pid: int) -> bool:
    """A process that has ended and that nobody has waited for is a zombie, and runs no more."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
