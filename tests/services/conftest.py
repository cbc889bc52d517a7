"""Servers as fixtures: one for all tests that can share it, one each for those that break it."""

import signal
from collections.abc import Iterator

import pytest
from servers import Minio, Redis, S3Server, SeaweedFS


@pytest.fixture(scope="session", autouse=True)
def _as_at_a_terminal() -> None:
    """Ctrl-C arrives although shells start background jobs, and so all below, with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    """MinIO, without TLS."""
    with Minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """SeaweedFS, without TLS."""
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(params=["minio", "seaweedfs"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the two S3 servers in turn."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of the test's own, whose data outlive it."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
